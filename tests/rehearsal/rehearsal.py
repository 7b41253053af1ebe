"""
Media for rehearsals: the true layout of an installation medium, with a small Linux in it that plays Windows Setup by the
documented rules. Nothing of Windows is in them, and what they show is no proof about Windows (README.md).
"""
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "tests/guest"))
sys.path.insert(0, str(TREE / "tests/rig"))
import guest_image  # noqa: E402
from locks import Locked  # noqa: E402

HERE = TREE / "tests/rehearsal"
BUILD = TREE / "build/rehearsal"
BOOT_MODULES = ["nvme", "ahci", "sd_mod", "virtio_pci", "virtio_blk", "fuse"]
SETUP_MODULES = [*BOOT_MODULES, "sr_mod", "udf", "isofs", "vfat", "nls_cp437", "nls_ascii", "nls_utf8", "efivarfs", "tpm_crb", "tpm_tis"]
INSTALLED_MODULES = [*BOOT_MODULES, "sr_mod", "isofs", "vfat", "nls_cp437", "nls_ascii", "nls_utf8", "e1000e", "virtio_net", "evdev", "button", "af_packet"]
SETUP_TOOLS = ["wimlib-imagex", "mkntfs", "ntfs-3g", "sfdisk", "efibootmgr", "mkfs.vfat"]
APPEND = "console=ttyS0 quiet"
RDP_REQUEST = "030000130ee000000000000100080003000000"  # X.224 connection request with a negotiation ([MS-RDPBCGR] 2.2.1.1)

# As the vendor's media have them: (name, EDITIONID, INSTALLATIONTYPE), the build, its revision, the volume's name.
SYSTEMS = {
    "11": ([("Windows 11 Home", "Core", "Client"), ("Windows 11 Education", "Education", "Client"),
            ("Windows 11 Pro", "Professional", "Client"),
            ("Windows 11 Pro for Workstations", "ProfessionalWorkstation", "Client")], 26200, 6584, "CCCOMA_X64FRE_EN-US_DV9"),
    "11-enterprise-eval": ([("Windows 11 Enterprise Evaluation", "EnterpriseEval", "Client")], 26200, 6584,
                           "CENA_X64FREE_EN-US_DV9"),
    "10-ltsc": ([("Windows 10 Enterprise LTSC 2021", "EnterpriseS", "Client")], 19044, 1288, "CES_X64FREV_EN-US_DV5"),
    "server-2022": ([("Windows Server 2022 SERVERSTANDARDCORE", "ServerStandard", "Server Core"),
                     ("Windows Server 2022 SERVERSTANDARD", "ServerStandard", "Server"),
                     ("Windows Server 2022 SERVERDATACENTERCORE", "ServerDatacenter", "Server Core"),
                     ("Windows Server 2022 SERVERDATACENTER", "ServerDatacenter", "Server")], 20348, 587, "SSS_X64FREE_EN-US_DV9"),
}
LANGUAGE = "en-US"


def medium(folder, system):
    """A medium of that system (a name of SYSTEMS) in the folder; its path. Media are kept in build/rehearsal."""
    with Locked(BUILD / "lock"):
        return _medium(folder, system)


def _medium(folder, system):
    kept, note = BUILD / f"{system}.iso", BUILD / f"{system}.made-from"
    sources = _sources()
    if not kept.exists() or not note.exists() or json.loads(note.read_text()) != sources:
        note.unlink(missing_ok=True)
        _make(kept, system)
        note.write_text(json.dumps(sources))
    path = Path(folder) / f"rehearsal-{system}.iso"
    shutil.copyfile(kept, path)
    return path


def program(name, *options):
    """A program of the player's for this host, with the sanitizers; its path."""
    return _compile(BUILD / "host" / name, name, "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", *options)


def answer_disc():
    """The program that makes answer discs (answer-disc.c); needs the tree's library for release."""
    out = BUILD / "host/answer-disc"
    out.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["make", "-s", "-C", TREE, "build/release/libcasement.a"], check=True)
    libraries = subprocess.run(["make", "-s", "-C", TREE, "libs"], check=True, capture_output=True, text=True).stdout.split()
    subprocess.run(["cc", "-std=c17", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", f"-I{TREE}/include", "-o", out, HERE / "answer-disc.c",
                    TREE / "build/release/libcasement.a", *libraries], check=True)
    return out


def answers_remote_desktop(rig, port):
    """Whether a desktop behind this port of the rig's 127.0.0.1 confirms a connection (X.224)."""
    script = (f"exec 3<>/dev/tcp/127.0.0.1/{port}; printf '{RDP_REQUEST}' | sed 's/../\\\\x&/g' | xargs -0 printf '%b' >&3; "
              "head -c 6 <&3 | od -An -tx1")
    return rig.shell(script, seconds=300).stdout.split()[5:6] == ["d0"]


def images(folder, medium_path):
    """The description of the images in a medium's install.wim, as a file in the folder; its path."""
    wim, out = Path(folder) / "install.wim", Path(folder) / "images.xml"
    subprocess.run(["xorriso", "-osirrox", "on", "-indev", medium_path, "-extract", "/SOURCES/INSTALL.WIM", wim], check=True,
                   capture_output=True)
    subprocess.run(["wimlib-imagex", "info", wim, f"--extract-xml={out}"], check=True, capture_output=True)
    wim.unlink()
    return out


def _sources():
    files = [*sorted(HERE.iterdir()), TREE / "tests/guest/guest_image.py", guest_image.kernel().image]
    return {str(path): [path.stat().st_size, path.stat().st_mtime_ns] for path in files if path.is_file() and path.suffix != ".md"}


def _compile(out, name, *options):
    out.parent.mkdir(parents=True, exist_ok=True)
    libraries = ["-lexpat"] if name == "unattend" else []
    subprocess.run(["cc", "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wno-format-truncation", *options, "-o", out,
                    *sorted(HERE.glob(f"{name}*.c")), *libraries], check=True)
    return out


def _boot_program(out):
    """The EFI program that asks for a key: boot.c, as gnu-efi has programs made."""
    objects = BUILD / "boot.o", BUILD / "boot.so"
    subprocess.run(["cc", "-std=c17", "-Wall", "-Wextra", "-Os", "-ffreestanding", "-fno-stack-protector", "-fpic", "-fshort-wchar",
                    "-mno-red-zone", "-DGNU_EFI_USE_MS_ABI", "-I/usr/include/efi", "-I/usr/include/efi/x86_64", "-c",
                    HERE / "boot.c", "-o", objects[0]], check=True)
    subprocess.run(["ld", "-nostdlib", "-znocombreloc", "-shared", "-Bsymbolic", "-T", "/usr/lib/elf_x86_64_efi.lds",
                    "/usr/lib/crt0-efi-x86_64.o", objects[0], "-L/usr/lib", "-lefi", "-lgnuefi", "-o", objects[1]], check=True)
    sections = [".text", ".sdata", ".data", ".rodata", ".dynamic", ".dynsym", ".rel", ".rela", ".rel.*", ".rela.*", ".reloc"]
    subprocess.run(["objcopy", *(f"--only-section={name}" for name in sections), "--target=efi-app-x86_64", "--subsystem=10",
                    objects[1], out], check=True)
    return out


def _add_player(archive, life, programs):
    """Busybox, the life's script, and the programs that both lives have."""
    for folder in ("/dev", "/proc", "/sys", "/tmp", "/run", "/etc", "/mnt", "/usr/bin", "/usr/sbin", "/usr/lib", "/lib64"):
        archive.folder(folder)
    busybox = shutil.which("busybox")
    archive.file("/bin/busybox", archive.source(busybox), 0o755)
    for name in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if name != "busybox":
            archive.link(f"/bin/{name}", "busybox")
    archive.file("/init", archive.source(HERE / "init"), 0o755)
    archive.file("/sbin/life", archive.source(HERE / life), 0o755)
    for name in ("common", "address"):
        archive.file(f"/sbin/{name}", archive.source(HERE / name), 0o755)
    for name in programs:
        for source in HERE.glob(f"{name}*.[ch]"):
            archive.source(source)
        archive.file(f"/usr/bin/{name}", _compile(BUILD / name, name, "-Os", "-s", "-static").read_bytes(), 0o755)


def _add_setup(archive):
    _add_player(archive, "setup", ["unattend"])
    guest_image.add_tools(archive, SETUP_TOOLS)
    guest_image.add_modules(archive, SETUP_MODULES)
    libraries = subprocess.run(["ldd", shutil.which("wimlib-imagex")], check=True, capture_output=True, text=True).stdout
    for path, version in re.findall(r"(/\S+/libicudata\.so\.(\d+))", libraries):
        archive.file(path, _without_data(version), 0o755)


def _without_data(version):
    """
    Thirty megabytes of character tables that wimlib's XML library brings, and that UTF-16 needs none of, would double
    the RAM disk: an empty library instead.
    """
    out = BUILD / "libicudata.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-nostdlib", "-xc", "-", f"-Wl,-soname,libicudata.so.{version}", "-o", out], check=True,
                   input=f"const char icudt{version}_dat[4096] __attribute__((aligned(16)));", text=True)
    return out.read_bytes()


def _add_installed(archive):
    _add_player(archive, "installed", ["unattend", "batch", "remote_desktop"])
    guest_image.add_tools(archive, ["ntfs-3g"])
    guest_image.add_modules(archive, INSTALLED_MODULES)


def _unified(out, name, fill):
    return guest_image.unified_image(out, guest_image.layer(name, fill), APPEND)


def _capture(wim, index, tree, name, properties):
    subprocess.run(["wimlib-imagex", "capture" if index == 1 else "append", tree, wim, name, "--no-acls",
                    *(["--compress=none"] if index == 1 else [])], check=True, capture_output=True)
    subprocess.run(["wimlib-imagex", "info", wim, str(index), *(f"--image-property={key}={value}" for key, value in properties.items())],
                   check=True, capture_output=True)


def _properties(name, edition, kind, build, revision):
    return {"DISPLAYNAME": name, "DISPLAYDESCRIPTION": name, "DESCRIPTION": name, "FLAGS": edition, "WINDOWS/ARCH": "9",
            "WINDOWS/PRODUCTNAME": "Microsoft® Windows® Operating System", "WINDOWS/EDITIONID": edition,
            "WINDOWS/INSTALLATIONTYPE": kind, "WINDOWS/PRODUCTTYPE": "WinNT" if kind == "Client" else "ServerNT",
            "WINDOWS/LANGUAGES/LANGUAGE": LANGUAGE, "WINDOWS/LANGUAGES/DEFAULT": LANGUAGE, "WINDOWS/VERSION/MAJOR": "10",
            "WINDOWS/VERSION/MINOR": "0", "WINDOWS/VERSION/BUILD": str(build), "WINDOWS/VERSION/SPBUILD": str(revision)}


def _install_wim(wim, tree, system):
    """Each image is a small Windows: the boot manager, which is the player, and the values that scripts ask for."""
    editions, build, revision, _ = SYSTEMS[system]
    for folder in ("Windows/Boot/EFI", "Windows/System32/config", "Windows/System32/drivers", "Windows/Temp", "Users/Default"):
        (tree / folder).mkdir(parents=True)
    _unified(tree / "Windows/Boot/EFI/bootmgfw.efi", "rehearsal-installed", _add_installed)
    (tree / "Windows/System32/slmgr.vbs").write_text("' A rehearsal's\r\n")
    key = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion"
    for index, (name, edition, kind) in enumerate(editions, 1):
        values = [("CurrentBuild", "REG_SZ", build), ("UBR", "REG_DWORD", hex(revision)), ("EditionID", "REG_SZ", edition)]
        (tree / "Windows/System32/config/REHEARSAL").write_text("".join(f"{key}\t{name}\t{kind}\t{data}\n" for name, kind, data in values))
        _capture(wim, index, tree, name, _properties(name, edition, kind, build, revision))


def _boot_wim(wim, tree, build, revision):
    """In name only: the player is started without it."""
    (tree / "Windows/System32").mkdir(parents=True)
    (tree / "Windows/System32/winpeshl.ini").write_text("[LaunchApp]\r\n")
    for index, name in enumerate(("Microsoft Windows PE (amd64)", "Microsoft Windows Setup (amd64)"), 1):
        _capture(wim, index, tree, name, _properties(name, "WindowsPE", "WindowsPE", build, revision))
    subprocess.run(["wimlib-imagex", "info", wim, "2", "--boot"], check=True, capture_output=True)


def _make(out, system):
    """Writes the medium: El Torito for BIOS and UEFI, UDF beside ISO 9660, and the files that are looked for."""
    _, build, revision, volume = SYSTEMS[system]
    work = BUILD / f"{system}.work"
    shutil.rmtree(work, ignore_errors=True)
    disc = work / "disc"
    for folder in ("sources", "boot", "efi/boot", "efi/microsoft/boot"):
        (disc / folder).mkdir(parents=True)
    _boot_program(disc / "efi/boot/bootx64.efi")
    shutil.copyfile(disc / "efi/boot/bootx64.efi", disc / "bootmgr.efi")
    setup = _unified(work / "setup.efi", "rehearsal-setup", _add_setup)
    guest_image.fat_disk(disc / "efi/microsoft/boot/efisys.bin",
                         {"EFI/BOOT/BOOTX64.EFI": disc / "efi/boot/bootx64.efi", "EFI/MICROSOFT/BOOT/SETUP.EFI": setup}, 1, fat32=False)
    (disc / "boot/etfsboot.com").write_bytes(b"\xf4" * 4096)  # halts: there is no BIOS here
    (disc / "setup.exe").write_bytes(b"MZ")
    (disc / "sources/lang.ini").write_text(f"[Available UI Languages]\r\n{LANGUAGE} = 3\r\n\r\n[Fallback Languages]\r\n"
                                           f"{LANGUAGE} = {LANGUAGE.lower()}\r\n")
    _boot_wim(disc / "sources/boot.wim", work / "boot", build, revision)
    _install_wim(disc / "sources/install.wim", work / "windows", system)
    fresh = out.with_suffix(".new")
    subprocess.run(["genisoimage", "-quiet", "-udf", "-iso-level", "3", "-V", volume, "-b", "boot/etfsboot.com", "-no-emul-boot", "-boot-load-size",
                    "8", "-eltorito-alt-boot", "-e", "efi/microsoft/boot/efisys.bin", "-no-emul-boot", "-boot-load-size", "1", "-o", fresh,
                    disc], check=True)
    fresh.rename(out)
    shutil.rmtree(work)
