"""
`casement windows` from a medium to a desktop, rehearsed (README.md: nothing of Windows is in it): the key is pressed,
Setup's rules are kept, the starts of the machine are followed, the guest's report ends it, and the next start boots what is
there. LONG=1: every system, both profiles, and the program killed at each step.
"""
import json
import random
import re
import signal

import drivers
import pytest
import rehearsal

STEP_SECONDS = 900
STEPS = ["Press any key", "REHEARSAL-PHASE windowsPE begins", "REHEARSAL-INSTALLS", "REHEARSAL-PHASE windowsPE done",
         "REHEARSAL-PHASE specialize begins", "REHEARSAL-PHASE oobeSystem begins", "REHEARSAL-DESKTOP"]
BETWEEN_SECONDS = 20  # of two steps, about, in an outer machine with nothing beside it


class Journey:
    """The starts of one machine, with its state folder in the rig's memory."""

    def __init__(self, rig, casement, medium, *options):
        self.rig, self.casement, self.medium = rig, casement, medium
        self.state = rig.shell("mktemp -d /tmp/journey.XXXXXX").stdout.strip()
        self.options = ["--version", medium, "--state", self.state, "--memory", "640M", "--disk-size", "768M",
                        "--forward", "127.0.0.1:13389:3389", *options]

    def start(self, *options):
        return self.casement(*self.options, *options, command="windows")

    def read(self):
        return json.loads(self.rig.shell(f"cat {self.state}/journey.json").stdout)

    def remove(self, name):
        self.rig.shell(f"rm {self.state}/{name}")

    def write(self, journey):
        self.rig.shell(f"cat >{self.state}/journey.json <<'END'\n{json.dumps(journey)}\nEND")

    def installs(self, *options):
        """Starts it, sees it through to the desktop, and stops it."""
        machine = self.start(*options)
        install(machine)
        stop(machine)
        return machine

    def digest(self):
        return self.rig.shell(f"sha256sum <{self.state}/data.img", seconds=600).stdout.split()[0]


@pytest.fixture
def journey(rig, casement, folder):
    made = []

    def make(system, *options):
        made.append(Journey(rig, casement, rehearsal.medium(folder, system), *options))
        return made[-1]

    yield make
    for one in made:
        rig.shell(f"rm -rf {one.state}")


def wait(machine, wanted):
    """A line of the player, and no other than those that mean that all is well."""
    found = machine.wait_serial(rf"{wanted}|REHEARSAL-(?:REFUSED|FAILED).*[\r\n]", STEP_SECONDS)
    assert not found.group().startswith(("REHEARSAL-REFUSED", "REHEARSAL-FAILED")), found.group()
    return found


def stop(machine):
    """By the power button, once the guest takes it."""
    wait(machine, "REHEARSAL-LISTENS for the power button")
    machine.ctl("powerdown")
    assert machine.wait_end(300) == 0


def install(machine):
    """To the report, by the player's lines."""
    wait(machine, "Press any key to boot from CD or DVD")
    wait(machine, "REHEARSAL-PHASE windowsPE begins")
    installs = wait(machine, r"REHEARSAL-INSTALLS .*[\r\n]")
    wait(machine, "REHEARSAL-PHASE windowsPE done")
    wait(machine, "REHEARSAL-PHASE specialize begins")
    wait(machine, "REHEARSAL-PHASE oobeSystem done")
    return installs.group(), wait(machine, r"CASEMENT-INSTALLED .*[\r\n]").group().strip()


def test_from_a_medium_to_a_desktop(journey, rig):
    one = journey("11", "--user", "Ada", "--command", "echo hello")
    machine = one.start()
    installs, report = install(machine)
    assert "edition=Professional disk=0" in installs, installs
    assert "build=26200.6584 edition=Professional" in report, report
    wait(machine, "REHEARSAL-DESKTOP edition=Professional user=Ada")
    assert rehearsal.answers_remote_desktop(rig, 13389)
    stop(machine)
    found = one.read()
    assert (found["step"], found["phase"], found["edition"], found["profile"]) == ("installed", 2, "Professional", "inbox")
    assert report == f"CASEMENT-INSTALLED {found['report']}"
    assert "the key that it asks for is pressed" in machine.log.read_text()

    # The next start boots what is there, whatever is asked for now, without a medium.
    machine = one.start("--version", "2022")
    wait(machine, "REHEARSAL-DESKTOP edition=Professional user=Ada")
    disks = json.loads(rig.run("curl", "-sf", "--unix-socket", machine.control, "http://localhost/api/v1/disks").stdout)
    assert [disk["name"] for disk in disks] == ["disk0"], disks
    stop(machine)
    assert not re.search("Press any key|windowsPE", machine.serial)
    assert one.read() == found
    check_untouched(one)


def kill(machine):
    machine.signal(signal.SIGKILL)
    machine.run.wait(60)


def check_untouched(one):
    """What the monitor itself does with a finished disk at a start, before its guest writes anything: nothing."""
    before = one.digest()
    for lose_journey in (False, True):
        if lose_journey:
            one.remove("journey.json")
        machine = one.start("--version", "2022")
        wait(machine, "BdsDxe: loading")
        kill(machine)
        assert one.read()["step"] == "installed"
    assert one.digest() == before


def test_setup_answered_by_hand(journey):
    one = journey("11", "--manual", "on", "--user", "Bob")
    machine = one.start()
    wait(machine, "REHEARSAL-ASKS")
    assert "not used, for Setup asks for it" in said(machine) and "--user" in said(machine)
    machine.ctl("type", "1 0 Ann")
    machine.ctl("key", "enter")
    assert "image=1 edition=Core disk=0" in wait(machine, r"REHEARSAL-INSTALLS .*[\r\n]").group()
    report = wait(machine, r"CASEMENT-INSTALLED .*[\r\n]").group().strip()
    wait(machine, "REHEARSAL-WAITS for a logon")
    stop(machine)
    found = one.read()
    assert found["step"] == "installed" and report == f"CASEMENT-INSTALLED {found['report']}"
    # A disc that is to be started before all else is, and nobody presses the key that this one asks for.
    machine = one.start("--start-disc", one.medium)
    wait(machine, "Press any key")
    wait(machine, "REHEARSAL-WAITS for a logon")
    stop(machine)
    assert "windowsPE" not in machine.serial and "nothing is installed as long as" in said(machine)
    assert one.read() == found


@pytest.mark.long
def test_a_block_device_as_the_system_disk(journey, rig):
    one = journey("11")
    device = rig.shell(f"modprobe -q loop; cd {one.state} && truncate -s 768M backing other && echo data | dd of=other conv=notrunc && "
                       "losetup -f --show $PWD/backing").stdout.strip()
    one.options += ["--system-disk", device]
    machine = one.start()
    wait(machine, "REHEARSAL-PHASE windowsPE begins")
    kill(machine)
    assert (one.read()["step"], one.read()["disk"]) == ("installing", device) and f"{one.state}/backing" in one.read()["disk_identity"]
    # The name is another device's now: Setup would wipe it.
    other = rig.shell(f"losetup -d {device} && losetup {device} {one.state}/other && sha256sum <{one.state}/other").stdout
    machine = one.start()
    assert machine.wait_end(300) == 1 and "and this is another disk" in said(machine)
    assert rig.shell(f"losetup -d {device} && losetup {device} {one.state}/backing && sha256sum <{one.state}/other").stdout == other
    one.installs()
    for lose_journey in (False, True):
        if lose_journey:
            one.remove("journey.json")
        machine = one.start("--version", "2022")
        wait(machine, "REHEARSAL-DESKTOP edition=Professional")
        stop(machine)
        assert not re.search("Press any key|windowsPE", machine.serial)
    assert rig.shell(f"ls {one.state}/data.* 2>/dev/null | wc -l; losetup -d {device}").stdout.strip() == "0"


@pytest.mark.long
def test_virtio_from_the_start(journey, rig, folder):
    one = journey("11", "--drivers", drivers.folder(folder))
    machine = one.start("--profile", "virtio")
    installs, _ = install(machine)
    assert "disk=0 (vda)" in installs, installs
    wait(machine, "REHEARSAL-DESKTOP")
    assert rehearsal.answers_remote_desktop(rig, 13389)
    stop(machine)
    # No disk before its driver was found on the answer disc, and no driver found twice.
    assert re.findall(r"REHEARSAL-(DRIVER|DISKS) *([\w ]*)", machine.serial) == [
        ("DRIVER", "viostor"), ("DRIVER", "netkvm"), ("DISKS", "vda")]
    assert re.search(r"REHEARSAL-ADDRESS eth0 10\.0\.2\.", machine.serial), machine.serial
    assert (one.read()["step"], one.read()["profile"]) == ("installed", "virtio")
    # Asked for nothing, it stays what it is.
    machine = one.start()
    wait(machine, "REHEARSAL-DESKTOP")
    stop(machine)
    assert one.read()["profile"] == "virtio"


def said(machine):
    return machine.log.read_text()


def change_profile(one, to, *options):
    """Two starts that were asked for the other profile: a small disk there first, then the system disk."""
    was = one.read()["profile"]
    machine = one.start("--profile", to, *options)
    wait(machine, "REHEARSAL-BOUND")
    wait(machine, "REHEARSAL-DESKTOP")
    stop(machine)
    assert f"keeps {was} for this start" in said(machine) and "the next start moves the system disk there" in said(machine)
    assert (one.read()["profile"], one.read()["tried"]) == (was, to)
    machine = one.start("--profile", to)
    wait(machine, "REHEARSAL-DESKTOP")
    stop(machine)
    assert f"Windows has started from profile {to}" in said(machine), said(machine)
    assert (one.read()["profile"], one.read()["tried"]) == (to, "")


@pytest.mark.long
def test_another_profile_and_back(journey, folder):
    one = journey("11")
    one.installs()
    change_profile(one, "virtio", "--drivers", drivers.disc(folder))
    # Windows keeps NVMe among what it starts with only as long as it does.
    change_profile(one, "inbox")
    machine = one.start("--profile", "inbox")
    wait(machine, "REHEARSAL-DESKTOP")
    stop(machine)
    assert "profile" not in said(machine), said(machine)


@pytest.mark.long
def test_no_other_profile_without_its_driver(journey, folder):
    one = journey("11")
    one.installs()
    before = one.read()
    for _ in range(2):
        machine = one.start("--profile", "virtio")
        wait(machine, "REHEARSAL-UNKNOWN device")
        stop(machine)
        assert "add --drivers" in said(machine) and one.read() == before
    # Somebody who says that the driver is there, which it is not, has lost nothing.
    one.write({**before, "tried": "virtio"})
    machine = one.start("--profile", "virtio")
    machine.wait_serial("REHEARSAL-FAILED: .*INACCESSIBLE_BOOT_DEVICE", STEP_SECONDS)
    machine.ctl("stop")
    machine.wait_end(300)
    assert "has not started from profile virtio" in said(machine) and one.read() == before
    machine = one.start()
    wait(machine, "REHEARSAL-DESKTOP")
    stop(machine)


@pytest.mark.long
@pytest.mark.parametrize("profile", ["inbox", "virtio"])
@pytest.mark.parametrize("system,options,edition", [
    ("11-enterprise-eval", [], "EnterpriseEval"), ("10-ltsc", [], "EnterpriseS"), ("server-2022", [], "ServerStandard"),
    ("server-2022", ["--edition", "standard-core"], "ServerStandard")])
def test_other_systems(journey, rig, folder, system, options, edition, profile):
    """To a desktop that Remote Desktop reaches; the second start, asked for something else, boots it straight."""
    one = journey(system, *options, *(["--drivers", drivers.folder(folder)] if profile == "virtio" else []))
    machine = one.start("--profile", profile)
    _, report = install(machine)
    assert f"edition={edition}" in report
    wait(machine, "REHEARSAL-DESKTOP")
    assert rehearsal.answers_remote_desktop(rig, 13389)
    stop(machine)
    found = one.read()
    assert (found["step"], found["profile"]) == ("installed", profile)
    machine = one.start("--version", "11")
    wait(machine, f"REHEARSAL-DESKTOP edition={edition}")
    stop(machine)
    assert not re.search("Press any key|windowsPE", machine.serial)
    assert one.read() == found


@pytest.mark.long
@pytest.mark.parametrize("line", STEPS)
def test_killed_at_each_step(journey, line):
    one = journey("11")
    machine = one.start()
    wait(machine, line)
    kill(machine)
    finish(one)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_killed_at_random_instants(journey, seed):
    """Behind the start or a step, so that how fast the machine is does not say where; a failure shows what is printed."""
    choice = random.Random(seed)
    line, seconds = choice.choice(["", *STEPS]), choice.uniform(0, BETWEEN_SECONDS)
    one = journey("11")
    machine = one.start()
    if line:
        wait(machine, line)
    assert machine.run.wait(seconds) is None
    kill(machine)
    print(f"seed {seed}: killed {seconds:.1f} seconds behind {line or 'the start'}, with {machine.serial.splitlines()[-1:]}")
    finish(one)


def finish(one):
    machine = one.start()
    wait(machine, "REHEARSAL-DESKTOP edition=Professional")
    stop(machine)
    assert one.read()["step"] == "installed"
