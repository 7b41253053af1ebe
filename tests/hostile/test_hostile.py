"""
A hostile driver as root in a guest (hostile.c) against the whole monitor: every row of the table of bugs that really
happened which a driver can try. `make build/asan/casement` and TEST_CASEMENT let it run against that.
"""
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROWS = {1, 2, 5, 6, 8, 9, 11, 13, 17, 18, 19, 20, 21, 22, 25, 27, 28, 29, 30}
MEMORY = 256 << 20
SECTORS = 16384
# What is said at most once in this time for each place in the code, with one more line that counts what was left out.
LOG_INTERVAL = 5
MAY_GROW = 96 << 20
# Writes each sector's number all over it: the guest knows what it must read.
FILL = "import struct,sys; open(sys.argv[1],'wb').write(b''.join(struct.pack('<Q',n)*64 for n in range(%d)))" % SECTORS
# Of the monitor with this control socket: the host's uptime, its peak of memory, and each thread's ticks of CPU. Few programs: each
# takes a tenth of a second to start in the rig.
USE = """
read -r up _ </proc/uptime; echo "up $up"
for p in $(pgrep -x casement); do
    grep -qzx run /proc/$p/cmdline && grep -qzxF "$1" /proc/$p/cmdline && cat /proc/$p/status /proc/$p/task/*/stat
done
"""


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """The hostile driver, for any guest."""
    path = tmp_path_factory.mktemp("hostile") / "hostile"
    subprocess.run([os.environ.get("CC", "cc"), "-static", "-O2", "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror",
                    "-pthread", "-o", path, *sorted(HERE.glob("*.c"))], check=True)
    return path.read_bytes()


@pytest.fixture
def disk(rig):
    """A disk that is filled with its sectors' numbers, in the rig's memory."""
    path = rig.shell(f"f=$(mktemp /tmp/hostile.XXXXXX); python3 -c \"{FILL}\" $f; echo $f", seconds=120).stdout.strip()
    yield path
    rig.shell(f"rm -f {path}")


@pytest.fixture
def hostile(casement, initrd, kernel, program, disk):
    """hostile(word, ...): a machine whose guest runs the program; its kernel has no drivers for the victims."""

    def start(*words, **settings):
        script = f"/hostile {MEMORY} {' '.join(map(str, words))}\n"
        return casement("--cpus", 2, "--memory", MEMORY, "--kernel", kernel.image, "--initrd",
                        initrd(script, files={"/hostile": program}), "--append", "console=ttyS0 quiet hugepages=3 casement.end=stay",
                        "--disk", f"{disk},queues=2", *settings.pop("options", ()), **settings)

    return start


def use(machine):
    """What the monitor has used: seconds of the host, bytes at its peak, seconds of CPU of what are not vCPUs."""
    text = machine.rig.run("bash", "-c", USE, "use", machine.control).stdout
    ticks = {}
    for name, user, system in re.findall(r"^\d+ \((.*)\) \S (?:\S+ ){10}(\d+) (\d+) ", text, re.MULTILINE):
        ticks[name] = ticks.get(name, 0) + int(user) + int(system)
    assert any(name.startswith("vcpu") for name in ticks), text
    busy = sum(count for name, count in ticks.items() if not name.startswith("vcpu"))
    return (float(re.search(r"up (\S+)", text).group(1)), int(re.search(r"VmHWM:\s*(\d+) kB", text).group(1)) << 10,
            busy / os.sysconf("SC_CLK_TCK"))


def lower_half(rig, disk):
    return rig.shell(f"head -c {SECTORS // 2 * 512} {disk} | md5sum").stdout


def warnings_per_place(machine):
    """How often each line came, without its numbers and reasons."""
    counts = {}
    for line in machine.log.read_text(errors="replace").splitlines():
        place = re.sub(r": .*; the device waits", ": ...; the device waits", re.sub(r"0x[0-9a-f]+|\d+", "N", line))
        place = re.sub(r"virtio-\w+", "virtio", place)
        counts[place] = counts.get(place, 0) + 1
    return counts


def test_every_row(hostile, rig, disk):
    before = lower_half(rig, disk)
    start = time.monotonic()
    machine = hostile()
    machine.wait_serial("QUIET-BEGIN", 400)
    quiet = use(machine)
    time.sleep(3)
    still_quiet = use(machine)
    assert "QUIET-END" not in machine.serial, "measured too late"
    machine.wait_serial("^ATTACKS")
    status = machine.guest_status()
    assert machine.ctl("status"), "the monitor does not answer any more"
    machine.ctl("stop")
    assert machine.wait_end() == 0
    seconds = time.monotonic() - start
    failed = re.findall(r"^(?:ROW .* FAILED|HOSTILE-DIES) .*$", machine.serial, re.MULTILINE)
    assert not failed and status == 0, "\n".join(failed) or machine.serial[-2000:]
    assert {int(row) for row in re.findall(r"^ROW (\d+) \S+ ok", machine.serial, re.MULTILINE)} == ROWS

    # Row 30: nothing works while every device waits for a reset, although each has requests.
    assert still_quiet[2] - quiet[2] < 0.2 * (still_quiet[0] - quiet[0]), (quiet, still_quiet)
    # Rows 5 and 27: no chain made the monitor take memory. The sanitizer takes its own.
    if b"__asan_init" not in Path(machine.program).read_bytes():
        assert still_quiet[1] < MEMORY + MAY_GROW
    # No request named the lower half for writing.
    assert lower_half(rig, disk) == before
    # Many errors, few lines.
    breaks = int(re.search(r"^ATTACKS \d+ BREAKS (\d+)", machine.serial, re.MULTILINE).group(1))
    lines = warnings_per_place(machine)
    assert breaks > 200
    assert sum(count for place, count in lines.items() if "waits for a reset" in place) >= 1
    assert max(lines.values()) <= seconds / LOG_INTERVAL + 2, lines
    assert not any("Sanitizer" in line or "runtime error" in line for line in lines), machine.log.read_text()
