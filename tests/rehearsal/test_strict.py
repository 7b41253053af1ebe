"""
The player is strict, and what the program tells Setup passes: its checks, run on this host without a machine. That it
passes says that it keeps to the documented rules; Windows itself is not here to say anything (README.md).
"""
import contextlib
import fcntl
import re
import subprocess
import time

import pytest
import rehearsal

MACHINE = ["en-US", "1024", "65536"]  # Setup's language, memory, one disk: no TPM, no Secure Boot
EXPECTED = {"11": (3, "Professional"), "11-enterprise-eval": (1, "EnterpriseEval"), "10-ltsc": (1, "EnterpriseS"),
            "server-2022": (2, "ServerStandard")}
WISHES = {"none": [], "many": ["user=Anna Meier", "password=geheim € & <Wort>", "computer=VM-1", "workgroup=HOME", "region=de-AT",
                               "keyboard=0409:00010409", "command=echo 100% > C:\\x.txt & ver", "oem=/nonexistent",
                               "time_zone=W. Europe Standard Time", "virtio=1", "shares=3"]}
SCRIPTS = "Windows/Setup/Scripts"
SETUP_COMPLETE = "C:\\Windows\\Setup\\Scripts\\SetupComplete.cmd"


class Setting:
    """What was made for a system: answers() writes the files anew, checked() judges the answer file."""

    def __init__(self, folder, medium, images, tools):
        self.folder, self.medium, self.images, self.tools = folder, medium, images, tools
        (folder / SCRIPTS).mkdir(parents=True)
        self.xml, self.script = folder / "Autounattend.xml", folder / SCRIPTS / "SetupComplete.cmd"

    def make(self, wishes=()):
        subprocess.run([self.tools["answer-disc"], self.medium, self.folder, *wishes], check=True)
        for name in ("SetupComplete.cmd", "command.txt"):
            if (self.folder / name).exists():
                (self.folder / name).rename(self.script.parent / name)

    def change(self, path, old, new, count=1):
        text = path.read_bytes().decode()
        changed = re.sub(old, new, text, count=count, flags=re.DOTALL)
        assert changed != text, old
        path.write_bytes(changed.encode())

    def judged(self, machine=MACHINE, status=0):
        return self._run("unattend", [self.xml, self.images, *machine], status)

    def run_script(self, line, status=0, check=False):
        return self._run("batch", [self.folder, self.folder / "com1", *(["--check"] if check else []), line], status)

    def _run(self, tool, words, status):
        done = subprocess.run([self.tools[tool], *words], capture_output=True, text=True)
        assert done.returncode in ((0, 1) if status is None else (status,)) and not done.stderr, done
        return done.stdout


@pytest.fixture(scope="module")
def tools():
    return {"answer-disc": rehearsal.answer_disc(), "unattend": rehearsal.program("unattend"), "batch": rehearsal.program("batch")}


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    made = {}
    for system in rehearsal.SYSTEMS:
        folder = tmp_path_factory.mktemp(system)
        path = rehearsal.medium(folder, system)
        made[system] = path, rehearsal.images(folder, path)
    return made


@pytest.fixture
def setting(tmp_path, media, tools):
    def make(system, wishes=()):
        made = Setting(tmp_path, *media[system], tools)
        made.make(wishes)
        return made

    return make


@pytest.fixture
def pro(setting):
    return setting("11")


@pytest.mark.parametrize("wishes", WISHES)
@pytest.mark.parametrize("system", rehearsal.SYSTEMS)
def test_what_setup_is_told_passes(setting, system, wishes):
    made = setting(system, WISHES[wishes])
    plan = made.judged()
    index, edition = EXPECTED[system]
    assert f"IMAGE={index}\n" in plan and f"EDITION='{edition}'\n" in plan and "REMOTE_DESKTOP='1'\n" in plan
    assert "PARTITIONS='EFI 260 FAT32 System\nMSR 128 - -\nPrimary - NTFS Windows\n'" in plan
    made.run_script(SETUP_COMPLETE, check=True)


@pytest.mark.parametrize("system", rehearsal.SYSTEMS)
def test_what_is_left_to_a_person(setting, system):
    """Setup asks; the machine is as Windows 11 wants it, and the script is run, whatever the person says."""
    made = setting(system, ["manual=1", "virtio=1", "shares=3"])
    assert made.judged(status=3) == "REHEARSAL-ASKS\n"
    plan = made.judged([*MACHINE, "person", "1", "0", "Ann"])
    assert "IMAGE=1\n" in plan and "ACCOUNT='Ann'\n" in plan and "CONFIGURATION_SET='1'\n" in plan
    assert "has chosen image 9" in made.judged([*MACHINE, "person", "9", "0", "Ann"], 1)
    made.run_script(SETUP_COMPLETE, check=True)
    if system.startswith("11"):
        made.change(made.xml, "BypassTPMCheck", "BypassNoCheck")
        assert "This PC can't run Windows 11" in made.judged([*MACHINE, "person", "1", "0", "Ann"], 1)


REFUSED = {
    "another language": ("<UILanguage>en-US", "<UILanguage>de-DE", "language page"),
    "another language of the new system": ("(oobeSystem.*?<UILanguage>)en-US", r"\1de-DE", "language page"),
    "no formats of the new system": ("(oobeSystem.*?)<UserLocale>en-US</UserLocale>", r"\1", "UserLocale is missing"),
    "no licence accepted": ("<AcceptEula>true", "<AcceptEula>false", "AcceptEula"),
    "no word of the licence": ("<AcceptEula>.*?</AcceptEula>", "", "AcceptEula is missing"),
    "an empty key": ("<Key>VK7JG.*?</Key>", "<Key></Key>", "ProductKey/Key"),
    "no key": ("<ProductKey>.*?</ProductKey>", "", "no product key"),
    "neither a key nor an image": ("<InstallFrom>.*?</InstallFrom>(.*?)<ProductKey>.*?</ProductKey>", r"\1", "asks which one"),
    "a key of nobody's": ("VK7JG-NPHTM", "BCDFG-HJKMP", "none of the generic keys"),
    "another edition's key": ("VK7JG-NPHTM-C97JM-9MPGT-3V66T", "YNMGQ-8RYV3-4PGQ3-C8XTP-7CFBY", "is not of image 3"),
    "an image that is not there": ("<Value>3</Value>", "<Value>5</Value>", "4 images, none of them"),
    "a disk that is not there": ("<DiskID>0", "<DiskID>1", "DiskID 1"),
    "two disks": ("(<InstallTo>\\s*)<DiskID>0", r"\1<DiskID>1", "another disk"),
    "a partition that is not there": ("<PartitionID>3</PartitionID>(\\s*</InstallTo>)", r"<PartitionID>4</PartitionID>\1", "NTFS"),
    "an unknown element": ("<AcceptEula>", "<AcceptEverything>true</AcceptEverything><AcceptEula>", "AcceptEverything is unknown"),
    "an unknown component": ("Microsoft-Windows-LUA-Settings", "Microsoft-Windows-Wishes", "Microsoft-Windows-Wishes"),
    "a setting in another pass": ('pass="offlineServicing"', 'pass="auditUser"', "auditUser"),
    "another architecture": ('processorArchitecture="amd64"', 'processorArchitecture="x86"', "processorArchitecture"),
    "a user with a percent sign": ("<Name>Docker</Name>", "<Name>50%</Name>", "Name"),
    "no list": ('wcm:action="add"', "", "wcm:action"),
    "the same twice": ("(<AcceptEula>true</AcceptEula>)", r"\1\1", "twice"),
    "a broken order": ("<Order>2</Order>", "<Order>1</Order>", "Order"),
    "no user": ("<Name>Docker</Name>", "<Name></Name>", "Name"),
    "another user at the logon": ("<Username>Docker", "<Username>Dorker", "AutoLogon"),
    "a password of another form": ("(<AdministratorPassword>\\s*<Value>)[^<]*", r"\1YWRtaW4=", "AdministratorPassword"),
    "a page that asks": ("<HideEULAPage>true", "<HideEULAPage>false", "HideEULAPage"),
    "the checks of Windows 11": ("BypassTPMCheck", "BypassNothing", "BypassTPMCheck"),
    "no XML": ("</unattend>", "</unattended>", "mismatched tag"),
    "another namespace": ("urn:schemas-microsoft-com:unattend", "urn:example:unattend", "namespace"),
    "a path that is too long": ("(<Path>reg.exe add )", r"\1" + 260 * "x", "Path"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_refused(pro, case):
    old, new, says = REFUSED[case]
    pro.change(pro.xml, old, new)
    said = pro.judged(status=1).splitlines()[-1]
    assert said.startswith("REHEARSAL-REFUSED: ") and says in said, said


def test_a_machine_that_windows_11_takes_needs_no_waivers(setting):
    made = setting("11", ["tpm=1", "secure_boot=1", f"memory={17 << 28}", f"disk_size={64 << 30}"])
    made.judged(["en-US", "4096", "tpm", "secure-boot", "65536"])
    assert "BypassSecureBootCheck" in made.judged(["en-US", "4096", "tpm", "65536"], status=1)
    assert "BypassTPMCheck" in made.judged(["en-US", "4096", "secure-boot", "65536"], status=1)
    assert "BypassRAMCheck" in made.judged(["en-US", "4095", "tpm", "secure-boot", "65536"], status=1)
    assert "BypassStorageCheck" in made.judged(["en-US", "4096", "tpm", "secure-boot", "32768"], status=1)


@pytest.mark.parametrize("wishes,machine", [
    (["tpm=1"], ["en-US", "1024", "tpm", "2048"]),
    (["tpm=1", "secure_boot=1", f"memory={4 << 30}"], ["en-US", "4000", "tpm", "secure-boot", "2048"]),
    ([f"memory={4 << 30}", f"disk_size={64 << 30}"], ["en-US", "4000", "65536"])])
def test_what_a_machine_lacks_is_waived(setting, wishes, machine):
    setting("11", wishes).judged(machine)


def test_the_user_of_a_member_is_its_own(setting):
    made = setting("11", ["domain=example.com", "domain_user=joiner", "domain_password=joins"])
    made.judged()
    made.change(made.xml, "<Domain>\\.</Domain>", "")
    assert "looked for in the domain" in made.judged(status=1)


def test_an_evaluation_takes_no_key(setting):
    made = setting("11-enterprise-eval")
    made.change(made.xml, "<UserData>", "<UserData><ProductKey><Key>NPPR9-FWDCX-D2C8J-H872K-2YT43</Key></ProductKey>")
    assert "takes no product key" in made.judged(status=1)


def with_registry(made, edition="Professional"):
    key = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion"
    (made.folder / "Windows/System32/config").mkdir(parents=True)
    (made.folder / "Windows/Temp").mkdir()
    (made.folder / "Windows/System32/config/REHEARSAL").write_text(
        f"{key}\tCurrentBuild\tREG_SZ\t26200\n{key}\tUBR\tREG_DWORD\t0x19b8\n{key}\tEditionID\tREG_SZ\t{edition}\n")


def test_the_script_reports_when_the_user_is_there(setting):
    made = setting("11", ["oem=/nonexistent", "command=echo 100% > C:\\x.txt & ver"])
    with_registry(made)
    (made.folder / "OEM").mkdir()
    (made.folder / "OEM/install.bat").write_text("")
    secret = [made.folder / "Windows" / name for name in ("ConfigSetRoot/Autounattend.xml", "Panther/unattend.xml",
                                                          "Panther/unattend-original.xml")]
    for path in secret:
        path.parent.mkdir(exist_ok=True)
        path.write_text("password")
    made.run_script(SETUP_COMPLETE)
    assert not secret[0].parent.exists() and secret[1].exists()
    assert not (made.folder / "com1").exists() and (made.script.parent / "system.complete").exists()
    said = made.run_script(f"cmd.exe /d /c {SETUP_COMPLETE} logon")
    assert not any(path.exists() for path in secret)
    assert said == "REHEARSAL-RAN install.bat: C:\\OEM\nREHEARSAL-RAN command: echo 100% > C:\\x.txt & ver\n"
    assert re.fullmatch(rb"CASEMENT-INSTALLED build=26200\.6584 edition=Professional time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d\r\n",
                        (made.folder / "com1").read_bytes())


def reports(made):
    return (made.folder / "com1").read_bytes().count(b"CASEMENT-INSTALLED")


def runs_at_logon(made):
    registry = (made.folder / "Windows/System32/config/REHEARSAL").read_text()
    return [re.findall(rf"\\{key}\tCasement\tREG_SZ\t(.*)", registry) for key in ("Run", "RunOnce")]


@pytest.mark.parametrize("cut_off", [False, True])
def test_a_logon_that_was_cut_off_is_made_up_for(pro, cut_off):
    with_registry(pro)
    pro.run_script(SETUP_COMPLETE)
    (again,), once = runs_at_logon(pro)
    assert not once
    if not cut_off:
        pro.run_script(f"cmd.exe /d /c {SETUP_COMPLETE} logon")
    else:
        pro.run_script(again)
    assert reports(pro) == 1 and (pro.script.parent / "logon.complete").exists()
    assert runs_at_logon(pro) == [[], [again]]
    pro.run_script(again)
    assert reports(pro) == 2


def started(made, *words):
    return subprocess.Popen([made.tools["batch"], made.folder, made.folder / "com1", *words], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)


def finished(process):
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 0, said


@contextlib.contextmanager
def at_work(path):
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def installed(made):
    registry = (made.folder / "Windows/System32/config/REHEARSAL").read_text()
    return registry.count("\tAllowInsecureGuestAuth\t")


@pytest.mark.parametrize("done", [True, False])
def test_the_logon_waits_for_the_system_however_long_it_takes(pro, done):
    with_registry(pro)
    with at_work(pro.script.parent / "system.lock"):
        logon = started(pro, f"cmd.exe /d /c {SETUP_COMPLETE} logon")
        time.sleep(1)
        assert logon.poll() is None and not installed(pro)
        if done:
            (pro.script.parent / "system.complete").write_text("complete")
    finished(logon)
    assert reports(pro) == 1 and installed(pro) == (0 if done else 2)


@pytest.mark.parametrize("done", [True, False])
def test_a_logon_waits_for_the_one_that_is_at_work(pro, done):
    with_registry(pro)
    with at_work(pro.folder / "Windows/Temp/SetupComplete.lock"):
        again = started(pro, f"cmd.exe /d /c {SETUP_COMPLETE} again")
        time.sleep(1)
        assert again.poll() is None and not (pro.folder / "com1").exists()
        if done:
            (pro.script.parent / "logon.complete").write_text("complete")
    finished(again)
    assert reports(pro) == 1 and installed(pro) == (0 if done else 2)


def test_the_system_is_set_up_once(pro):
    with_registry(pro)
    pro.run_script(SETUP_COMPLETE)
    pro.run_script(SETUP_COMPLETE)
    assert installed(pro) == 2
    pro.run_script(f"cmd.exe /d /c {SETUP_COMPLETE} logon")
    assert installed(pro) == 2 and reports(pro) == 1


@pytest.mark.parametrize("old,new,says", [
    ("reg add \"HKLM", "reg put \"HKLM", "none of add, query, delete"),
    ("net accounts", "net acounts", "net: neither accounts"),
    ("powercfg /hibernate", "powercgf /hibernate", "powercgf is no command"),
    ("goto logon", "goto logout", "no label logout"),
    ("goto once", "goto one", "no label one"),
    ("call :user", "call :usr", "no label usr"),
    ("rd /s /q \"%SystemRoot%", "rd \"%SystemRoot%", "rd: not /s"),
    ("del /f /q", "del /q", "del: not /f"),
    ("\r\n", "\n", "CR LF"),
    ("echo complete", "echo vollständig", "not ASCII"),
    ("/t REG_DWORD /d 1 /f", "/t REG_DWORD /d one /f", "one is no REG_DWORD"),
    ("/t REG_DWORD /d 1 /f", "/t REG_DWORD /d 1", "not KEY /v NAME"),
    ('reg add "HKLM', 'reg add "HKEM', "is no key"),
    ("group=\"@FirewallAPI", "group=\"FirewallAPI", "netsh: group="),
    ("echo complete>", "echo complete 1>", "is a handle"),
    ('8>"%here%system', '8>"%heer%system', "%heer% is not set"),
    ('complete>"%here%system.complete"', 'complete>"%here%system.complete', "quote has no end"),
    ("powercfg /hibernate off", "powercfg /hibernate off & echo done", "& is not known"),
])
def test_a_script_that_is_wrong_is_refused(pro, old, new, says):
    with_registry(pro)
    pro.change(pro.script, old, new)
    said = pro.run_script(SETUP_COMPLETE, check=True, status=None) or pro.run_script(SETUP_COMPLETE, status=1)
    assert said.splitlines()[-1].startswith("REHEARSAL-REFUSED: ") and says in said, said


def test_a_line_that_is_not_reached_is_checked_too(pro):
    pro.change(pro.script, 'set "now=unknown"', 'sett "now=unknown"')
    assert "sett is no command" in pro.run_script(SETUP_COMPLETE, status=1, check=True)
