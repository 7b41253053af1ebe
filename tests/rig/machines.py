"""
Where tests run: on this host when it has a usable /dev/kvm, else in an outer machine that has one.

Host and Outer offer the same: start(), launch(command, ...) giving a Run, stop(). Both see the tree as it is at that
moment, and share the folder `out` for files that survive.
"""
import ctypes
import fcntl
import json
import os
import re
import secrets
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import agent
import cpio
import jobs
from debian_kernel import find_kernel, module_bytes
from locks import Locked

TREE = Path(__file__).resolve().parents[2]
HERE = TREE / "tests/rig"
BUILD = TREE / "build/rig"
OUT = BUILD / "out"
START_SECONDS = 120
KVM_GET_API_VERSION, KVM_API_VERSION = 0xAE00, 12
PR_SET_PDEATHSIG = 1
BOOT_MODULES = ["9p", "9pnet_virtio", "virtio_pci", "virtio_net", "overlay"]
PASSED_ON = re.compile(r"PATH|HOME|USER|LANG|LC_\w+|TERM|CI|(CASEMENT|TEST|RIG|FUZZ|CMOCKA)_\w+|\w+SAN_OPTIONS")


class RigError(Exception):
    """What went wrong, for the reader."""


def host_has_kvm():
    """
    Can guests run here? RIG_KVM=host or outer overrules. The driver has to be one that stands on the processor's own
    virtualisation: a KVM without it (PVM) answers too, but runs no unmodified guest.
    """
    choice = os.environ.get("RIG_KVM", "auto")
    if choice != "auto":
        return choice == "host"
    if not any(os.path.exists(f"/sys/module/{name}") for name in ("kvm_intel", "kvm_amd")):
        return False
    try:
        kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return fcntl.ioctl(kvm, KVM_GET_API_VERSION) == KVM_API_VERSION
    except OSError:
        return False
    finally:
        os.close(kvm)


def environment(extra=None):
    """What a command gets to see of our environment, the same with and without an outer machine."""
    env = {name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}
    return env | {"PYTHONDONTWRITEBYTECODE": "1", "RIG_OUT": str(OUT)} | (extra or {})


class Run:
    """A command that was started. wait() gives its exit status; 124: it hit its time limit and was killed."""

    def __init__(self, on_output=None):
        self.output = {b"o": bytearray(), b"e": bytearray()}
        self.status = None
        self.limit = False
        self._on_output = on_output
        self._ended = threading.Event()

    @property
    def stdout(self):
        return self.output[b"o"].decode(errors="replace")

    @property
    def stderr(self):
        return self.output[b"e"].decode(errors="replace")

    def wait(self, seconds=None):
        """The exit status; None: still running after that many seconds."""
        self._ended.wait(seconds)
        return self.status

    def _frame(self, kind, data):
        if kind == b"x":
            end = json.loads(data)
            self.limit = end["limit"]
            self._end(end["status"])
        elif self._on_output:
            self._on_output(kind, data)
        else:
            self.output[kind] += data

    def _end(self, status):
        self.status = status
        self._ended.set()


class HostRun(Run):
    def __init__(self, command, on_output, cwd, env, seconds):
        super().__init__(on_output)
        self._job = jobs.Job(command, self._frame, cwd, env, seconds)

    def signal(self, number):
        self._job.signal(number)

    def input(self, data):
        self._job.input(data)

    def kill(self):
        self._job.kill()


class OuterRun(Run):
    def __init__(self, connection, on_output):
        super().__init__(on_output)
        self._connection = connection
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self):
        frames = jobs.Frames()
        try:
            while data := self._connection.recv(65536):
                for kind, frame in frames.feed(data):
                    self._frame(kind, frame)
        except OSError:
            pass
        if self.status is None:
            self.output[b"e"] += b"rig: the outer machine is gone\n"
            self._end(125)
        self._connection.close()

    def _send(self, kind, data):
        try:
            self._connection.sendall(jobs.pack(kind, data))
        except OSError:
            pass

    def signal(self, number):
        self._send(b"s", str(int(number)).encode())

    def input(self, data):
        self._send(b"i", data)

    def kill(self):
        self.signal(signal.SIGTERM)
        if self.wait(jobs.GRACE_SECONDS) is None:
            self.signal(signal.SIGKILL)
            self.wait(jobs.GRACE_SECONDS)


class Host:
    """This very host, for when it has /dev/kvm."""

    folder = None

    def start(self):
        OUT.mkdir(parents=True, exist_ok=True)

    def launch(self, command, seconds=None, cwd=None, env=None, on_output=None):
        return HostRun(command, on_output, cwd or os.getcwd(), environment(env), seconds)

    def console(self):
        return ""

    def stop(self):
        pass


class Outer:
    """
    A software-emulated machine with AMD-V. Its state lives in build/rig/NAME, so that another process can use it too.
    bound: it ends with the thread that started it, however that ends.
    """

    def __init__(self, name="default", bound=False):
        self.folder = BUILD / name
        self._bound = bound
        self._process = None

    def start(self):
        OUT.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        with Locked(self.folder / "lock"):
            if self._alive():
                return
            with Locked(BUILD / "lock"):
                kernel = find_kernel(TREE / "build")
                base, shim = _boot_archive(kernel), _shim()
            state = {"port": free_port(), "key": secrets.token_hex(16)}
            self._write_initrd(base, kernel, state["key"])
            (self.folder / "console.log").unlink(missing_ok=True)  # an earlier machine's would say that this one is ready
            self._process = subprocess.Popen(self._command(kernel, state["port"]), stdin=subprocess.DEVNULL,
                                             stdout=open(self.folder / "emulator.log", "wb"), stderr=subprocess.STDOUT,
                                             env=os.environ | {"LD_PRELOAD": str(shim)}, start_new_session=True,
                                             preexec_fn=_end_with_parent if self._bound else None)
            state["pid"] = self._process.pid
            state["since"] = _start_time(self._process.pid)
            self._write_private("state.json", json.dumps(state).encode())
            self._await_agent()

    def launch(self, command, seconds=None, cwd=None, env=None, on_output=None):
        connection = self._request({"command": [str(word) for word in command], "cwd": str(cwd or os.getcwd()),
                                    "env": environment(env), "seconds": seconds})
        return OuterRun(connection, on_output)

    def console(self):
        """What the outer machine's kernel and the emulator said."""
        return "".join(_text(self.folder / name) for name in ("emulator.log", "console.log"))

    def stop(self):
        with Locked(self.folder / "lock"):
            state = self._alive()
            if not state:
                return
            try:
                self._request({"power_off": True}).close()
            except (OSError, RigError):
                pass
            pidfd = os.pidfd_open(state["pid"])
            try:
                if not _readable(pidfd, 5):
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass
            finally:
                os.close(pidfd)
            if self._process:
                self._process.wait()
            (self.folder / "state.json").unlink()

    def remove(self):
        """Stops it and forgets its state."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _state(self):
        try:
            return json.loads((self.folder / "state.json").read_text())
        except (OSError, ValueError):
            return None

    def _alive(self):
        """The state of a machine that runs; None without one."""
        state = self._state()
        return state if state and _start_time(state["pid"]) == state["since"] else None

    def _request(self, request):
        state = self._alive()
        if not state and self._state():
            said = "\n".join(_text(self.folder / name)[-2000:] for name in ("emulator.log", "console.log"))
            raise RigError(f"the outer machine has ended; the emulator and its console said last:\n{said}")
        if not state:
            raise RigError("there is no outer machine; start one: tests/rig/rig start")
        connection = socket.create_connection(("127.0.0.1", state["port"]))
        connection.sendall(json.dumps(request | {"key": state["key"]}).encode() + b"\n")
        return connection

    def _write_private(self, name, data):
        path = self.folder / name
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)

    def _write_initrd(self, base, kernel, key):
        modules = kernel.modules if kernel.modules.is_relative_to(TREE) else ""
        variables = {"RIG_TREE": TREE, "RIG_OUT": OUT, "RIG_KEY": key, "RIG_MODULES": modules}
        conf = cpio.Archive()
        conf.file("/rig.conf", "".join(f"{name}='{_quoted(value)}'\n" for name, value in variables.items()))
        self._write_private("initrd", base.read_bytes() + conf.bytes())

    def _command(self, kernel, port):
        forwards = [f"hostfwd=tcp:127.0.0.1:{port}-:{agent.PORT}"]
        for forward in os.environ.get("RIG_FORWARDS", "").replace(",", " ").split():
            outside, _, inside = forward.partition(":")
            forwards.append(f"hostfwd=tcp:127.0.0.1:{outside}-:{inside or outside}")
        share = "local,security_model=none,multidevs=remap"
        return ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-machine", "q35", "-cpu", "max,+svm",
                "-accel", os.environ.get("RIG_ACCEL", "tcg,thread=multi,tb-size=256"), "-smp", os.environ.get("RIG_CPUS", "2"),
                "-m", os.environ.get("RIG_MEMORY", "6G"), "-display", "none", "-no-reboot",
                "-serial", f"file:{self.folder}/console.log",
                "-kernel", str(kernel.image), "-initrd", f"{self.folder}/initrd",
                "-append", "console=ttyS0 quiet panic=-1",
                "-netdev", "user,id=net,net=10.99.0.0/24,dhcpstart=10.99.0.15," + ",".join(forwards),
                "-device", "virtio-net-pci,netdev=net,romfile=",
                "-virtfs", f"{share},path=/,mount_tag=host,readonly=on",
                "-virtfs", f"{share},path={TREE},mount_tag=tree,readonly=on",
                "-virtfs", f"{share},path={OUT},mount_tag=out"]

    def _await_agent(self):
        deadline = time.monotonic() + START_SECONDS
        while "RIG-READY" not in (said := self.console()):
            if "RIG-FAILED" in said or self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                self._process.wait()
                (self.folder / "state.json").unlink()
                raise RigError(f"the outer machine did not start:\n{said[-4000:]}")
            time.sleep(0.05)


def machine(name="default", bound=False):
    return Host() if host_has_kvm() else Outer(name, bound)


def _boot_archive(kernel):
    """The part of the initial RAM disk that is the same each time; made anew when what it is made from is newer."""
    archive = BUILD / f"boot-{kernel.release}.cpio"
    busybox = shutil.which("busybox")
    if not busybox:
        raise RigError("no busybox; install busybox-static (tools/setup)")
    sources = [HERE / "init", HERE / "machines.py", HERE / "cpio.py", Path(busybox), kernel.modules / "modules.dep"]
    if archive.exists() and archive.stat().st_mtime > max(path.stat().st_mtime for path in sources):
        return archive
    content = cpio.Archive()
    content.file("/bin/busybox", Path(busybox).read_bytes(), 0o755)
    content.file("/init", (HERE / "init").read_bytes(), 0o755)
    for folder in ("/dev", "/proc", "/sys"):
        content.folder(folder)
    files = kernel.module_files(BOOT_MODULES)
    names = [path.name.removesuffix(".xz") for path in files]
    for path, name in zip(files, names):
        content.file(f"/modules/{name}", module_bytes(path))
    content.file("/modules/order", "".join(f"{name}\n" for name in names))
    fresh = archive.with_suffix(".new")
    fresh.write_bytes(content.bytes())
    return fresh.rename(archive)


def _shim():
    source, shim = HERE / "emulator_shim.c", BUILD / "emulator_shim.so"
    if not shim.exists() or shim.stat().st_mtime < source.stat().st_mtime:
        fresh = shim.with_suffix(".new")
        subprocess.run([os.environ.get("CC", "cc"), "-std=c17", "-Wall", "-Wextra", "-O1", "-shared", "-fPIC",
                        "-o", fresh, source, "-ldl", "-pthread"], check=True)
        fresh.rename(shim)
    return shim


def _end_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _start_time(pid):
    """Tells a process from a later one with the same id."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _readable(fd, seconds):
    return bool(select.select([fd], [], [], seconds)[0])


def _quoted(value):
    return str(value).replace("'", "'\\''")


def _text(path):
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
