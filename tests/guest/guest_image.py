"""
Small Linux systems for test guests, made from Debian packages: an initial RAM disk in layers, and a bootable disk.

The base layer has busybox, the drivers of Debian's kernel for the hardware that a machine here can have, and small tools.
Further layers hold one big tool each with its libraries. Layers are kept in build/guest and made anew when what they are
made from changed. The script that a guest runs is a small archive of its own at the end.
"""
import json
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "tests/rig"))
import cpio  # noqa: E402
from debian_kernel import find_kernel, module_bytes  # noqa: E402
from locks import Locked  # noqa: E402

HERE = TREE / "tests/guest"
BUILD = TREE / "build/guest"
BASE_TOOLS = ["acpidump"]
LAYERS = {"fio": ["fio"], "cadaver": ["cadaver"], "pciutils": ["lspci"], "evtest": ["evtest"], "nvme": ["nvme", "smartctl"],
          "sg3": ["sg_inq", "sg_vpd", "sg_readcap", "sg_luns", "sg_turs", "sg_modes", "sg_requests", "sg_opcodes", "sg_get_config",
                  "sg_read", "sg_verify", "sg_sync", "sg_reset", "smartctl"]}
# Loaded by themselves when their hardware is there.
MODULES = ["virtio_pci", "virtio_blk", "virtio_net", "virtio-rng", "virtio_balloon", "virtio_console", "virtio_input",
           "virtio_gpu", "virtio_scsi", "nvme", "ahci", "e1000e", "xhci_pci", "i2c_i801", "lpc_ich"]
# Loaded by a script that wants them: slow to start, or bound to no bus that is looked at.
MODULES_ON_DEMAND = ["bochs", "evdev", "psmouse", "button", "efivarfs", "usbhid", "hid-generic", "usb-storage", "uas",
                     "sd_mod", "sr_mod", "sg", "cdrom", "vfat", "nls_cp437", "nls_ascii", "isofs", "ext4", "crc32c_generic", "tpm_crb",
                     "tpm_tis", "rtc-cmos", "msr", "cpuid", "iTCO_wdt", "af_packet", "qemu_fw_cfg"]
NOT_BY_ALIAS = {"bochs", "virtio_gpu", "lpc_ich", "i2c_i801"}


def kernel():
    with Locked(TREE / "build/rig/lock"):
        return find_kernel(TREE / "build")


def initrd(out, script=None, layers=(), files=None):
    """Writes an initial RAM disk whose guest runs the script (a text). files: more content, path to bytes."""
    parts = [layer("base", _base)]
    parts += [layer(name, lambda archive, tools=LAYERS[name]: add_tools(archive, tools)) for name in layers]
    own = cpio.Archive()
    if script is not None:
        own.file("/run.sh", script, 0o755)
    for path, data in (files or {}).items():
        own.file(path, data, 0o755)
    with open(out, "wb") as file:
        for part in parts:
            file.write(part.read_bytes())
        file.write(own.bytes())
    return Path(out)


def unified_image(out, initrd_file, append):
    """
    Writes one EFI program that is the unmodified kernel with its initial RAM disk and command line. The loader is
    systemd's stub, which takes them from sections of its own file (UAPI specification "Unified Kernel Image").
    """
    stub = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
    if not stub.exists():
        raise SystemExit("tests/guest: no EFI stub; install systemd-boot-efi (tools/setup)")
    text = BUILD / "cmdline"
    text.write_text(append + "\0")
    address = _image_end(stub.read_bytes())
    command = ["objcopy"]
    for name, path in ((".cmdline", text), (".initrd", initrd_file), (".linux", kernel().image)):
        command += ["--add-section", f"{name}={path}", "--change-section-vma", f"{name}={address:#x}"]
        address = _aligned(address + Path(path).stat().st_size)
    subprocess.run([*command, stub, out], check=True)
    return Path(out)


def boot_disk(out, initrd_file, append, spare_mib=8):
    """Writes a FAT file system, as a whole disk, from which UEFI firmware starts that kernel by itself."""
    BUILD.mkdir(parents=True, exist_ok=True)
    program = unified_image(BUILD / "BOOTX64.EFI", initrd_file, append)
    return fat_disk(out, {"EFI/BOOT/BOOTX64.EFI": program}, spare_mib)


def fat_disk(out, files, spare_mib=8, fat32=True):
    """Writes a FAT file system, as a whole disk, with these files: path there to path here. FAT32 is never small."""
    size = sum(Path(source).stat().st_size + (1 << 20) - 1 >> 20 for source in files.values()) + spare_mib + 34 * fat32
    with open(out, "wb") as file:
        file.truncate(size << 20)
    folders = sorted({str(parent) for path in files for parent in Path(path).parents} - {"."}, key=len)
    for command in (["mformat", *(["-F"] if fat32 else []), "-v", "CASEMENT"], *(["mmd", f"::/{folder}"] for folder in folders),
                    *(["mcopy", str(source), f"::/{path}"] for path, source in files.items())):
        subprocess.run([command[0], "-i", str(out), *command[1:]], check=True)
    return Path(out)


def _aligned(address, unit=0x1000):
    return (address + unit - 1) // unit * unit


def _image_end(program):
    """Where the sections of a PE program end in memory (PE format, COFF header and section table)."""
    pe, = struct.unpack_from("<I", program, 0x3C)
    sections, optional = struct.unpack_from("<2xH12xH", program, pe + 4)
    base, = struct.unpack_from("<Q", program, pe + 24 + 24)
    end = 0
    for n in range(sections):
        size, address = struct.unpack_from("<8xII", program, pe + 24 + optional + 40 * n)
        end = max(end, address + size)
    return _aligned(base + end)


def layer(name, fill):
    """The archive of a layer; its note says what it was made from."""
    with Locked(BUILD / f"{name}.lock"):
        return _layer(name, fill)


def _layer(name, fill):
    archive, note = BUILD / f"{name}.cpio", BUILD / f"{name}.made-from"
    if archive.exists() and note.exists() and _unchanged(json.loads(note.read_text())):
        return archive
    content = _Recorded()
    content.source(Path(__file__))
    fill(content)
    fresh = archive.with_suffix(".new")
    fresh.write_bytes(content.bytes())
    fresh.rename(archive)
    note.write_text(json.dumps(content.sources, indent=1))
    return archive


def _stamp(path):
    status = Path(path).stat()
    return [status.st_size, status.st_mtime_ns]


def _unchanged(sources):
    try:
        return all(_stamp(path) == stamp for path, stamp in sources.items())
    except OSError:
        return False


class _Recorded(cpio.Archive):
    """Remembers which files of the host went in."""

    def __init__(self):
        super().__init__()
        self.sources = {}

    def source(self, path):
        self.sources[str(path)] = _stamp(path)
        return Path(path).read_bytes()


def _base(archive):
    for folder in ("/dev", "/proc", "/sys", "/tmp", "/run", "/etc", "/root", "/mnt", "/usr/bin", "/usr/sbin"):
        archive.folder(folder)
    busybox = shutil.which("busybox")
    archive.file("/bin/busybox", archive.source(busybox), 0o755)
    for name in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if name not in ("busybox", *BASE_TOOLS):
            archive.link(f"/bin/{name}", "busybox")
    archive.file("/init", archive.source(HERE / "init"), 0o755)
    archive.file("/sbin/wait-power-button", archive.source(HERE / "wait-power-button"), 0o755)
    add_tools(archive, BASE_TOOLS)
    add_modules(archive, MODULES + MODULES_ON_DEMAND)


def add_tools(archive, names):
    for name in names:
        program = shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin")
        if not program:
            raise SystemExit(f"tests/guest: no {name} on this host (tools/setup)")
        archive.file(f"/usr/bin/{name}", archive.source(program), 0o755)
        libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        for path in re.findall(r"(/\S+) \(0x", libraries):
            archive.file(path, archive.source(path), 0o755)


def add_modules(archive, names):
    """The modules, with the tables modprobe reads, for these alone."""
    system = kernel()
    builtin = (system.modules / "modules.builtin").read_text().replace("-", "_")
    listed = (system.modules / "modules.dep").read_text().replace("-", "_")
    archive.source(system.modules / "modules.dep")
    known = [name for name in names if f"/{name.replace('-', '_')}.ko" in listed + builtin]
    files = system.module_files(known)
    relative = {path.name.split(".")[0].replace("-", "_"): str(path.relative_to(system.modules)).removesuffix(".xz")
                for path in files}
    root = f"/lib/modules/{system.release}"
    dependencies, aliases = [], []
    for path in files:
        name = path.name.split(".")[0].replace("-", "_")
        archive.file(f"{root}/{relative[name]}", module_bytes(path))
        needs = [relative[need.name.split(".")[0].replace("-", "_")] for need in reversed(system.module_files([name]))]
        dependencies.append(f"{relative[name]}: {' '.join(need for need in needs if need != relative[name])}\n")
    for line in (system.modules / "modules.alias").read_text().splitlines():
        name = line.rsplit(" ", 1)[-1].replace("-", "_")
        if name in relative and name not in NOT_BY_ALIAS and line.startswith(("alias pci:", "alias virtio:")):
            aliases.append(line + "\n")
    archive.file(f"{root}/modules.dep", "".join(dependencies))
    archive.file(f"{root}/modules.alias", "".join(aliases))
    archive.file(f"{root}/modules.builtin", (system.modules / "modules.builtin").read_text())
