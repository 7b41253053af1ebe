"""What the guest was told is written stays written, whenever the machine is reset or killed."""
import os
import random
import re
import struct
import subprocess
import time
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROUNDS = 40 if os.environ.get("LONG") == "1" else 3
MEGABYTES, BLOCK, PROCESSES = 8, 4096, 4
SCRIPT = """
boot=$(head -c 8 /dev/vdb | tr -dc 0-9); boot=$((boot + 1))
printf %-8d $boot | dd of=/dev/vdb conv=fsync 2>/dev/null
echo BOOT $boot
steady-writer /dev/vda $boot
"""


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    program = tmp_path_factory.mktemp("writer") / "steady-writer"
    subprocess.run(["cc", "-O2", "-static", "-o", program, HERE.parent / "guest/steady-writer.c"], check=True)
    return program.read_bytes()


def check(image, told):
    """told: {boot: {process: number}}, the last completed write of each process in each boot."""
    content = Path(image).read_bytes()
    quarter = len(content) // BLOCK // PROCESSES
    last = {}  # block: (boot, number) of the last completed write to it
    for boot, processes in told.items():
        for process, done in processes.items():
            for number in range(1, done + 1):
                block = process * quarter + (boot * 40503 + process * 9973 + number * 2654435761) % 2**32 % quarter
                last[block] = max(last.get(block, (0, 0)), (boot, number))
    assert len(last) > quarter // 4, "the guest wrote too little to judge"
    for block, at_least in last.items():
        sectors = {content[at:at + 512] for at in range(block * BLOCK, (block + 1) * BLOCK, 512)}
        assert len(sectors) == 1, f"block {block} holds parts of several writes"
        data = sectors.pop()
        boot, process, number, named = struct.unpack("<4I", data[:16])
        assert data == data[:16] * 32
        assert named == block and process == block // quarter, f"block {block} holds what was written to block {named}"
        assert (boot, number) >= at_least, f"block {block}: write {at_least} was completed, it holds {(boot, number)}"


@pytest.mark.parametrize("engine", ["io_uring", pytest.param("threads", marks=pytest.mark.long)])
def test_resets_lose_no_completed_write(casement, initrd, kernel, folder, writer, engine):
    disk, counter = folder / "disk", folder / "counter"
    for path, megabytes in ((disk, MEGABYTES), (counter, 1)):
        with open(path, "wb") as file:
            file.truncate(megabytes << 20)
    machine = casement("--memory", "192M", "--net", "none", "--display", "none", "--kernel", kernel.image, "--initrd",
                       initrd(SCRIPT, files={"/bin/steady-writer": writer}), "--append", "console=ttyS0 quiet", "--disk",
                       f"{disk},engine={engine}", "--disk", counter)
    pauses = random.Random(5)
    for boot in range(1, ROUNDS + 1):
        machine.wait_serial(rf"^BOOT {boot}\b")
        machine.wait_serial("^DONE")
        time.sleep(pauses.uniform(0, 4))
        if boot < ROUNDS:
            machine.ctl("reset")
    machine.run.kill()  # the last time the whole monitor dies, without a warning
    machine.run.wait(60)
    told = {}
    for boot, lines in re.findall(r"^BOOT (\d+)\s(.*?)(?=^BOOT|\Z)", machine.serial, re.MULTILINE | re.DOTALL):
        told[int(boot)] = dones = {}
        for process, number in re.findall(r"^DONE (\d) (\d+)$", lines, re.MULTILINE):
            dones[int(process)] = max(dones.get(int(process), 0), int(number))
    check(disk, told)
    disk.unlink()


@pytest.mark.parametrize("engine", ["io_uring", pytest.param("threads", marks=pytest.mark.long)])
def test_flush_reaches_the_disk_of_the_host(casement, initrd, kernel, rig, engine):
    """The host's disk has a volatile cache and counts its flushes."""
    rig.shell("modprobe -r null_blk; modprobe null_blk nr_devices=1 gb=1 memory_backed=1 cache_size=16 bs=512")
    count = "awk '{print $16}' /sys/block/nullb0/stat"
    before = int(rig.shell(count).stdout)
    machine = casement("--memory", "192M", "--net", "none", "--display", "none", "--kernel", kernel.image, "--initrd",
                       initrd("for n in 1 2 3 4 5 6 7 8; do dd if=/dev/urandom of=/dev/vda bs=64k count=1 seek=$n "
                              "conv=fsync,notrunc 2>/dev/null || exit 1; done\nmd5sum /dev/vda\n"),
                       "--append", "console=ttyS0 quiet", "--disk", f"/dev/nullb0,engine={engine}")
    assert machine.guest_status() == 0
    assert int(rig.shell(count).stdout) - before >= 8
    assert machine.wait_end() == 0
    rig.shell("modprobe -r null_blk")
