"""What tests can ask for: `rig` (a machine with /dev/kvm), `initrd` (a guest that runs a script), `casement` (start one)."""
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
TESTS = Path(__file__).resolve().parent
for folder in ("rig", "guest", "lib", "rehearsal"):
    sys.path.insert(0, str(TESTS / folder))
import guest_image  # noqa: E402
import machines  # noqa: E402
from monitor import Casement  # noqa: E402
from rig_session import Rig  # noqa: E402


def pytest_collection_modifyitems(items):
    if os.environ.get("LONG") != "1":
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes long; LONG=1 runs it"))


@pytest.fixture(scope="session")
def rig():
    """
    One machine with /dev/kvm for all tests of a process (tests/run starts two processes, each with files of its own).
    RIG_NAME: use the outer machine of that name, start it if need be, and leave it running.
    """
    name = os.environ.get("RIG_NAME")
    os.environ.setdefault("RIG_FORWARDS", f"{machines.free_port()}:8006")  # for a browser on this host
    machine = machines.machine(name or f"pytest-{os.getpid()}", bound=not name)
    machine.start()
    yield Rig(machine)
    if not name and isinstance(machine, machines.Outer):
        machine.remove()


@pytest.fixture
def folder(request):
    """An empty folder of this test's own that host and rig share."""
    path = machines.OUT / "tests" / re.sub(r"[^\w.-]+", "-", request.node.nodeid.removeprefix("tests/")).strip("-")
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


@pytest.fixture
def image(rig):
    """image(megabytes): a disk image in the rig's memory, on a file system that can punch holes."""
    made = []

    def make(megabytes):
        path = rig.shell(f"f=$(mktemp /tmp/disk.XXXXXX); truncate -s {megabytes}M $f; echo $f").stdout.strip()
        made.append(path)
        return path

    yield make
    rig.shell("rm -f " + " ".join(made) if made else "true")


@pytest.fixture
def kernel():
    """Debian's unmodified kernel: .image, .release."""
    return guest_image.kernel()


@pytest.fixture
def initrd(folder):
    """initrd(script, layers=(), files=None): the path of a RAM disk whose guest runs the script and powers off."""
    made = []

    def make(script, layers=(), files=None):
        made.append(folder / f"initrd{len(made)}")
        return guest_image.initrd(made[-1], script, layers, files)

    yield make
    for path in made:
        path.unlink(missing_ok=True)


@pytest.fixture
def casement(rig, folder):
    """casement(option, ...): starts `casement run` with these options; a Casement (lib/monitor.py). Ended for you."""
    started = []

    def start(*options, **settings):
        started.append(Casement(rig, folder / f"machine{len(started)}", options, **settings))
        return started[-1]

    yield start
    for monitor in started:
        monitor.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows of a failed test what its machines said last."""
    report = (yield).get_result()
    if report.when == "call" and report.failed and "folder" in item.fixturenames:
        path = item.funcargs.get("folder")
        for log in sorted(path.rglob("*.log")) if path else ():
            tail = log.read_text(errors="replace").splitlines()[-30:]
            report.sections.append((str(log.relative_to(machines.OUT)), "\n".join(tail)))


def pytest_terminal_summary(terminalreporter):
    counts = {name: len(terminalreporter.stats.get(name, ())) for name in ("passed", "failed", "error", "skipped")}
    path = os.environ.get("TEST_COUNTS")
    if path:
        Path(path).write_text(f"{counts['passed']} {counts['failed'] + counts['error']} {counts['skipped']}\n")
