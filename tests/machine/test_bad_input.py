"""
What a user can get wrong: one line on standard error that names the thing, the reason and the remedy, exit status 2 or 3,
and the folder as it was. All but the last tests run on the host: what is refused there comes before KVM is opened.
"""
import fcntl
import hashlib
import os
import re
import socket
import struct
import subprocess
from contextlib import contextmanager
from pathlib import Path

import machines
import pytest

PROGRAM = os.environ.get("TEST_CASEMENT", machines.TREE / "casement")
CODE_BYTES, VARS_BYTES = 0x37C000, 0x84000  # of OVMF's 4 MiB images
CONFIGURATION, NO_KVM, FAILED = 2, 3, 1
BASE = "--memory=64M --firmware=CODE.fd --vars-template=VARS.fd --web=none"
PORT = "--web 127.0.0.1:18006"  # one that nobody has


def sparse(path, size):
    with open(path, "wb") as file:
        file.truncate(size)


@pytest.fixture
def place(folder):
    """A folder with one of everything that a machine takes."""
    sparse(folder / "CODE.fd", CODE_BYTES)
    sparse(folder / "VARS.fd", VARS_BYTES)
    sparse(folder / "small.fd", 4096)
    sparse(folder / "a.img", 1 << 20)
    sparse(folder / "odd.img", 1000)
    sparse(folder / "empty.img", 0)
    (folder / "text").write_text("some text\n")
    (folder / "link.img").symlink_to("a.img")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "blank").write_text("\nsecret in the second line\n")
    (folder / "short").write_text("1234567\n")
    for name in ("one", "other"):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-subj", "/CN=test", "-keyout", f"{name}.key", "-out", f"{name}.pem"], cwd=folder, check=True,
                       capture_output=True)
    subprocess.run(["openssl", "ec", "-in", "one.key", "-aes128", "-passout", "pass:x", "-out", "locked.key"],
                   cwd=folder, check=True, capture_output=True)
    (folder / "bad-token").mkdir()
    (folder / "bad-token/web-token").write_text("too short\n")
    bad = folder / "bad-state"
    bad.mkdir()
    (bad / "uuid").write_text("no uuid\n")
    locked = folder / "locked"
    sparse(locked, 1 << 20)
    locked.chmod(0o400)
    hidden = folder / "hidden"
    sparse(hidden, 1 << 20)
    hidden.chmod(0)
    (folder / "sealed").mkdir(mode=0o500)
    return folder


def content(folder):
    """Everything below: kinds, modes, sizes and bytes."""
    found = {}
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        data = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and info.st_mode & 0o400 else ""
        found[str(path.relative_to(folder))] = (oct(info.st_mode), info.st_size if path.is_file() else 0, data)
    return found


def plain_user():
    """What makes root an ordinary user of its own files: no capabilities."""
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []


def refused(folder, words, says, status=CONFIGURATION, env=None, wrapper=()):
    """Runs casement in the folder; it must refuse as the rule says, with all these texts in its line."""
    before = content(folder)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CASEMENT_")}
    run = subprocess.run([*wrapper, PROGRAM, *words], cwd=folder, env=clean | (env or {}), stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, timeout=60)
    assert run.returncode == status, (run.returncode, run.stdout, run.stderr)
    assert re.fullmatch(r"casement: [^\n]+\n", run.stderr), run.stderr
    assert not run.stdout
    for text in says:
        assert text in run.stderr, f"{text!r} is not in: {run.stderr}"
    assert content(folder) == before


# words after `casement run BASE`; what the line must say, the last of which is the remedy
OPTIONS = [
    ("--memory 63M", "--memory 63M", "below the limit", "give 64M to 1024G"),
    ("--memory 2T", "--memory 2T", "above the limit", "give 64M to 1024G"),
    ("--memory lots", "--memory lots", "not a size", "give 64M"),
    ("--memory 65M", "--memory 65M", "multiple of 2 MiB", "give 66M"),
    ("--memory 1024G", "--memory", "the host has", "ask for less"),
    ("--memory 1024G --huge-pages", "--huge-pages", "free in the pool", "vm.nr_hugepages"),
    ("--cpus 0", "--cpus 0", "below the limit", "give 1 to 64"),
    ("--cpus 65", "--cpus 65", "above the limit", "give 1 to 64"),
    ("--cpus -1", "--cpus -1", "not a whole number", "give 1 to 64"),
    ("--cpu 2", "--cpu", "unknown option", "did you mean --cpus?"),
    ("--qemu-compatibility", "--qemu-compatibility", "unknown option", "--help"),
    ("a.img", "a.img", "not an option", "--help"),
    ("--disk", "--disk", "no value", "give --disk FILE"),
    ("--disk --cpus 2", "--disk", "--cpus is an option", "--disk=VALUE"),
    ("--state=", "--state", "empty", "give FOLDER"),
    ("--name my_machine", "--name my_machine", "no host name", "letters, digits and hyphens"),
    ("--uuid 1234", "--uuid 1234", "not a UUID", "uuidgen"),
    ("--mac 01:00:00:00:00:01", "--mac 01", "not an address of one card", "such as 02:"),
    ("--display 1x1", "--display 1x1", "not a size", "640x480 to 3840x2160"),
    ("--log-level loud", "--log-level loud", "not one of its values", "error|warning|info|debug"),
    ("--hyperv=maybe", "--hyperv maybe", "not one of its values", "off|on"),
    ("--io-engine aio", "--io-engine aio", "not one of its values", "io_uring"),
    ("--stop-timeout soon", "--stop-timeout soon", "not a whole number", "0 to 86400"),
    # Options that exclude each other.
    ("--kernel text", "--firmware", "excluded by --kernel", "leave one out"),
    ("--initrd text", "--initrd", "kernel that is started directly", "add --kernel FILE"),
    ("--append quiet", "--append", "kernel that is started directly", "add --kernel FILE"),
    ("--net none --forward 2222:22", "--forward", "excluded by --net none", "leave one out"),
    ("--net none --mac 02:00:00:00:00:01", "--mac", "excluded by --net none", "leave one out"),
    ("--display none --screenshot x.png", "--screenshot", "excluded by --display none", "leave one out"),
    # Forwards.
    ("--forward 22", "--forward 22", "not of the form", "2222:22"),
    ("--forward 70000:22", "--forward 70000:22", "not of the form", "2222:22"),
    ("--forward localhost:2222:22", "--forward", "localhost is not an IPv4 address", "127.0.0.1"),
    ("--forward 2222:22 --forward 2222:80", "2222:80", "forwarded already", "choose another"),
    ("--forward 0.0.0.0:2222:22 --forward 127.0.0.1:2222:80", "2222:80", "forwarded already", "choose another"),
    ("--forward 192.0.2.1:2222:22", "--forward 192.0.2.1:2222", "assign", "an address of this host"),
    # Firmware and variables.
    ("--firmware none.fd", "--firmware none.fd", "No such file", "install the package ovmf"),
    ("--firmware text", "--firmware text", "10 bytes", "OVMF_CODE_4M.fd"),
    ("--firmware folder", "--firmware folder", "not a file", "OVMF_CODE_4M.fd"),
    ("--vars-template none.fd", "--vars-template none.fd", "No such file", "install the package ovmf"),
    ("--vars-template small.fd", "--vars-template small.fd", "do not fit", "come with it"),
    ("--vars small.fd", "--vars small.fd", "do not fit", "move the file away"),
    ("--vars folder", "--vars folder", "is a folder", "name a file in it"),
    ("--vars nowhere/vars.fd", "--vars nowhere/vars.fd", "its folder: No such", "writable"),
    ("--vars VARS.fd", "--vars VARS.fd", "same file as --vars-template", "give each its own"),
    # Disks.
    ("--disk none.img", "--disk none.img", "No such file", "truncate -s 20G"),
    ("--disk odd.img", "--disk odd.img", "1000 bytes", "rounds a file up"),
    ("--disk empty.img", "--disk empty.img", "0 bytes", "truncate"),
    ("--disk folder", "--disk folder", "is a folder", "an image in it"),
    ("--disk pipe,readonly", "--disk pipe", "neither a file nor a block device", "name one"),
    ("--disk a.img,mode=fast", "--disk a.img", "unknown property mode=fast", "known are"),
    ("--disk a.img,queues=0", "--disk a.img", "queues=0", "1 to 64"),
    ("--disk a.img,serial=123456789012345678901", "--disk a.img", "more than 20 characters", "shorten it"),
    ("--disk a.img --disk link.img", "--disk link.img", "same file as --disk a.img", "give each its own"),
    ("--disk a.img --serial a.img", "--serial a.img", "same file as --disk", "give each its own"),
    ("--disk a.img --screenshot link.img", "--screenshot link.img", "same file as --disk", "give each its own"),
    ("--disk a.img --vars a.img", "--disk a.img", "same file as --vars", "give each its own"),
    ("--serial new --screenshot new", "--screenshot new", "same file as --serial", "give each its own"),
    # Where things go.
    ("--serial folder", "--serial folder", "is a folder", "name a file in it"),
    ("--serial no/log", "--serial no/log", "its folder: No such", "writable"),
    ("--screenshot no/x.png", "--screenshot no/x.png", "its folder: No such", "writable"),
    ("--state no/such", "--state no/such", "No such file", "writable"),
    ("--state text", "--state text", "Not a directory", "writable"),
    ("--state bad-state", "--state bad-state", "none that can be used", "remove that file"),
    ("--control text", "text", "something else", "name another path"),
    ("--control " + "x" * 120, "x" * 100, "longer than 107 bytes", "shorter --control"),
    # The web page.
    ("--web 70000", "--web 70000", "not of the form", "0.0.0.0:8006"),
    ("--web localhost:8006", "--web localhost:8006", "not of the form", "or none"),
    ("--web ::1:8006", "--web ::1:8006", "not of the form", "[::1]:8006"),
    ("--web 192.0.2.1:8006", "--web 192.0.2.1:8006", "assign", "an address of this host"),
    ("--access anyone", "--access anyone", "not one of its values", "token|password|open"),
    ("--access password", "--access password", "no password", "give --web-password-file FILE"),
    ("--web-password-file text", "--web-password-file", "only --access password asks for one", "leave the file out"),
    (f"{PORT} --access password --web-password-file none", "--web-password-file none", "No such file", "first line"),
    (f"{PORT} --access password --web-password-file folder", "--web-password-file folder", "directory", "name a file"),
    (f"{PORT} --access password --web-password-file blank", "--web-password-file blank", "is empty", "write the secret"),
    (f"{PORT} --access password --web-password-file short", "--web-password-file short", "less than 8", "a longer one"),
    (f"{PORT} --web-cert none --web-key text", "--web-cert none", "No such file", "as PEM"),
    (f"{PORT} --web-cert text --web-key text", "--web-cert text", "no start line", "as PEM"),
    (f"{PORT} --web-cert one.pem --web-key other.key", "--web-key other.key", "mismatch", "the certificate's key"),
    (f"{PORT} --web-cert one.pem --web-key locked.key", "--web-key locked.key", "without passphrase"),
    ("--web-key text", "--web-key", "excluded by no --web-cert", "give both"),
    ("--web-host https://x", "--web-host https://x", "no host name", "without https://"),
    (f"{PORT} --state bad-token", "bad-token/web-token", "holds no token", "remove it"),
    # A line stays a line.
    ("--disk two\nlines", "--disk two?lines", "No such file", "truncate"),
]


@pytest.mark.parametrize("words, says", [pytest.param(case[0], case[1:], id=case[0][:60]) for case in OPTIONS])
def test_option(place, words, says):
    given = words.split(" ")
    base = [] if "--kernel" in given and "--firmware" not in says else BASE.split()
    refused(place, ["run", *base, *given], says)


KERNEL = [
    ("--kernel none", "--kernel none", "No such file", "name a file"),
    ("--kernel text", "--kernel text", "no Linux bzImage", "start with firmware"),
    ("--kernel folder", "--kernel folder", "name a file"),
    ("--kernel KERNEL --initrd none", "--initrd none", "No such file", "name a file"),
    ("--kernel KERNEL --initrd large.img", "--initrd large.img", "do not fit", "give more with --memory"),
    ("--kernel KERNEL --append " + "x" * 5000, "--append", "5000 characters", "shorten it"),
    ("--kernel KERNEL --vars vars.fd", "--vars", "excluded by --kernel", "leave one out"),
    ("--kernel KERNEL --memory 16G --serial KERNEL", "--serial", "same file as --kernel", "give each its own"),
]


@pytest.mark.parametrize("words, says", [pytest.param(case[0], case[1:], id=case[0][:60]) for case in KERNEL])
def test_direct_kernel(place, kernel, words, says):
    (place / "KERNEL").symlink_to(kernel.image)
    if "large.img" in words:
        sparse(place / "large.img", 100 << 20)
    refused(place, ["run", "--memory=128M", *words.split(" ")], says)


@pytest.mark.parametrize("words, says", [
    ("--disk locked", ["--disk locked", "Permission denied", "add the property readonly"]),
    ("--disk hidden", ["--disk hidden", "Permission denied", "give the user who runs this the right to it"]),
    ("--firmware hidden", ["--firmware hidden", "Permission denied", "name another file"]),
    ("--vars locked", ["--vars locked", "Permission denied", "name a file that is writable"]),
    ("--serial locked", ["--serial locked", "Permission denied", "writable"]),
    ("--state sealed", ["--state sealed", "Permission denied", "writable"]),
    ("--state sealed/inner", ["--state sealed/inner", "Permission denied", "writable"]),
    ("--control sealed/socket", ["sealed/socket", "Permission denied", "writable"]),
    ("--forward 22:22", ["--forward 127.0.0.1:22/tcp", "Permission denied", "from 1024 on"]),
    ("--web 127.0.0.1:22", ["--web 127.0.0.1:22", "Permission denied", "from 1024 on"]),
    ("--web 18006 --access password --web-password-file hidden",
     ["--web-password-file hidden", "Permission denied", "name a file"]),
])
def test_no_permission(place, words, says):
    if ":22" in words and int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 22:
        pytest.skip("port 22 is everyone's on this host")
    refused(place, ["run", *BASE.split(), *words.split()], says, wrapper=plain_user())


def without(variable):
    """BASE, but for the option that a variable says."""
    option = "--" + variable.removeprefix("CASEMENT_").lower().replace("_", "-")
    return [word for word in BASE.split() if not word.startswith(f"{option}=")]


@pytest.mark.parametrize("name, value, says", [
    ("CASEMENT_CPUS", "many", ["CASEMENT_CPUS many", "not a whole number", "give 1 to 64"]),
    ("CASEMENT_MEMORY", "63M", ["CASEMENT_MEMORY 63M", "below the limit", "64M to 1024G"]),
    ("CASEMENT_NESTED", "yes", ["CASEMENT_NESTED yes", "not one of its values", "on or off"]),
    ("CASEMENT_DISK", "a.img;none.img", ["CASEMENT_DISK none.img", "No such file", "make it first"]),
    ("CASEMENT_STATE", "no/such", ["CASEMENT_STATE no/such", "No such file", "writable"]),
    ("CASEMENT_WEB", "http", ["CASEMENT_WEB http", "not of the form", "or none"]),
    ("CASEMENT_CPSU", "2", ["CASEMENT_CPSU", "unknown variable", "did you mean CASEMENT_CPUS?"]),
    ("CASEMENT_STOPTIMEOUT", "2", ["CASEMENT_STOPTIMEOUT", "did you mean CASEMENT_STOP_TIMEOUT?"]),
    ("CASEMENT_QEMU_ARGUMENTS", "x", ["CASEMENT_QEMU_ARGUMENTS", "unknown variable", "unset it"]),
])
def test_environment(place, name, value, says):
    refused(place, ["run", *without(name)], says, env={name: value})


@pytest.mark.parametrize("words, says, status", [
    ("runn", ["runn", "no such command", "give run, check, ctl, health, image, windows, container or config"], CONFIGURATION),
    ("check --fast", ["check", "no options", "leave them out"], CONFIGURATION),
    ("config --cpus 0", ["--cpus 0", "below the limit", "1 to 64"], CONFIGURATION),
    ("config --nett none", ["--nett", "unknown option", "did you mean --net?"], CONFIGURATION),
    ("config --append quiet", ["--append", "kernel that is started directly", "add --kernel"], CONFIGURATION),
    ("ctl", ["ctl", "no command", "casement ctl --help"], CONFIGURATION),
    ("ctl explode", ["ctl explode", "no such command", "casement ctl --help"], CONFIGURATION),
    ("ctl type", ["ctl type", "one argument", "casement ctl --help"], CONFIGURATION),
    ("ctl status now", ["ctl status", "no argument", "casement ctl --help"], CONFIGURATION),
    ("ctl --contrl x status", ["--contrl", "no option of ctl", "--control SOCKET"], CONFIGURATION),
    ("ctl --state nowhere status", ["nowhere/control.sock", "no machine answers", "casement run"], FAILED),
])
def test_other_commands(place, words, says, status):
    refused(place, words.split(), says, status)


@contextmanager
def locked(path):
    """Another process's lock, as this one's looks to casement."""
    with open(path, "r+b") as file:
        whole = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, whole)
        yield


@contextmanager
def taken_port(kind, address="127.0.0.1"):
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind((address, 0))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        yield holder.getsockname()[1]


def test_things_in_use(place):
    base = ["run", *BASE.split()]
    with locked(place / "a.img"):
        refused(place, [*base, "--disk", "a.img"], ["--disk a.img", "in use by another machine", "its own disk"])
    sparse(place / "mine.fd", VARS_BYTES)
    with locked(place / "mine.fd"):
        refused(place, [*base, "--vars", "mine.fd"], ["--vars mine.fd", "in use by another machine", "its own --vars"])
    (place / "machine").mkdir()
    (place / "machine/uuid").write_text("00010203-0405-4607-8809-0a0b0c0d0e0f\n")
    with locked(place / "machine/uuid"):
        refused(place, base, ["--state machine", "a machine is running with it", "its own --state"])
    with taken_port(socket.SOCK_STREAM) as port:
        refused(place, [*base, "--forward", f"{port}:22"], [f"127.0.0.1:{port}/tcp", "in use", "choose another"])
        refused(place, [*base, "--forward", f"0.0.0.0:{port}:22"], [f"0.0.0.0:{port}/tcp", "in use", "choose another"])
        refused(place, [*base, "--web", f"{port}"], [f"--web 127.0.0.1:{port}", "in use", "choose another"])
        refused(place, [*base, "--web", f"[::]:{port}"], [f"--web [::]:{port}", "in use", "choose another"])
    with taken_port(socket.SOCK_DGRAM) as port:
        refused(place, [*base, "--forward", f"{port}:53/udp"], [f"127.0.0.1:{port}/udp", "in use", "choose another"])
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(".", os.O_RDONLY)
        os.chdir(place)  # the path of a socket is short
        try:
            listener.bind("answers.sock")
        finally:
            os.fchdir(here)
            os.close(here)
        listener.listen()
        refused(place, [*base, "--control", "answers.sock"], ["answers.sock", "a machine is running", "another --state"])


def namespace(script):
    """A wrapper that runs its command with other mounts, made by a script."""
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", "--mount", *user, "bash", "-ec", f'{script}\nexec "$@"', "bash"]


NO_DEVICE = "mount -t tmpfs none /dev; mount -t tmpfs none /sys/module"


@pytest.mark.parametrize("flags, remedy", [
    ("fpu vmx hypervisor", "modprobe kvm_intel"),
    ("fpu svm", "modprobe kvm_amd"),
    ("fpu hypervisor", "enable nested virtualisation"),
    ("fpu", "in the firmware settings"),
])
def test_no_kvm_device(place, flags, remedy):
    (place / "cpuinfo").write_text(f"flags\t\t: {flags}\n")
    refused(place, ["run", *BASE.split()], ["/dev/kvm", "not there", remedy], NO_KVM,
            wrapper=namespace(f"mount --bind cpuinfo /proc/cpuinfo; {NO_DEVICE}"))


def test_kvm_that_is_something_else_or_closed(place):
    refused(place, ["run", *BASE.split()], ["/dev/kvm", "not the KVM device", "pass the host's own"], NO_KVM,
            wrapper=namespace(f"{NO_DEVICE}; touch /dev/kvm"))
    closed = namespace(f"{NO_DEVICE}; touch /dev/kvm; chmod 0 /dev/kvm; set -- {' '.join(plain_user())} \"$@\"")
    refused(place, ["run", *BASE.split()], ["/dev/kvm", "no permission", "add the user to that group"], NO_KVM,
            wrapper=closed)


@pytest.mark.skipif(not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="this host has no /dev/kvm")
def test_kvm_without_the_processors_virtualisation(place):
    (place / "cpuinfo").write_text("flags\t\t: fpu hypervisor\n")
    refused(place, ["run", *BASE.split()], ["/dev/kvm", "runs no unmodified guest", "enable nested virtualisation"],
            NO_KVM, wrapper=namespace("mount --bind cpuinfo /proc/cpuinfo; mount -t tmpfs none /sys/module; "
                                      "mkdir /sys/module/kvm"))


def test_configuration_comes_before_kvm(place):
    refused(place, ["run", *BASE.split(), "--disk", "none.img"], ["--disk none.img", "make it first"],
            wrapper=namespace(NO_DEVICE))


def test_config_says_what_is_derived(place):
    run = subprocess.run([PROGRAM, "config", *BASE.split(), "--uuid", "00010203-0405-4607-8809-0a0b0c0d0e0f"],
                         cwd=place, env={"CASEMENT_CPUS": "3"}, capture_output=True, text=True, check=True)
    for line in ("cpus = 3 (environment)", "firmware = CODE.fd (command line)", "vars = machine/vars.fd (below --state)",
                 "control = machine/control.sock (below --state)", "mac = 52:54:00:0d:0e:0f (from the UUID)",
                 "uuid = 00010203-0405-4607-8809-0a0b0c0d0e0f (command line)", "net = user (default)"):
        assert f"{line}\n" in run.stdout, run.stdout
    assert not (place / "machine").exists()


def test_second_machine(casement, initrd, kernel, rig, folder):
    """A running machine keeps its disk, its port, its folder and its socket, and is not disturbed by who tries."""
    disk = folder / "disk.img"
    sparse(disk, 1 << 20)
    boot = ["--memory", "128M", "--cpus", "1", "--kernel", kernel.image, "--initrd",
            initrd("echo UP; exec sleep 1000\n"), "--append", "console=ttyS0 quiet", "--serial", "none"]
    first = casement(*boot, "--disk", disk, "--forward", "2299:22")
    first.wait_control()
    state = first.folder / "state"
    uuid = (state / "uuid").read_text()
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\n", uuid)
    for words, says in (
            (["--disk", disk], "in use by another machine; stop that one"),
            (["--forward", "2299:80"], "in use by another program, choose another"),
            (["--state", state], "a machine is running with it; stop that one"),
            (["--control", first.control], "a machine is running with it; stop that one")):
        other = folder / "other"
        run = rig.run(first.program, "run", *boot, "--state", other, *words, check=False)
        assert run.status == CONFIGURATION, (words, run.stderr)
        assert says in run.stderr and run.stderr.count("\n") == 1, run.stderr
        assert not other.exists()
    assert first.ctl("status").startswith("running")
    first.ctl("stop")
    assert first.wait_end() == 0
    assert (state / "uuid").read_text() == uuid
