"""The NVMe controller under Debian's own driver: found, verified under load, flushed, trimmed, read-only, reset."""
import os
import re

import guest_image
import pytest

LONG = os.environ.get("LONG") == "1"
TROUBLE = re.compile(r"\] nvme.*(error|timeout|abort|failed|unsupported|invalid|bogus)|I/O error", re.IGNORECASE)
KNOWN = ("Shutdown timeout set to", "Ignoring bogus Namespace Identifiers")  # the latter: any controller of this PCI id


@pytest.fixture
def linux(casement, initrd, kernel):
    def start(script, *options, layers=(), append="", memory="256M", **settings):
        return casement("--memory", memory, "--kernel", kernel.image, "--initrd", initrd(script, layers), "--append",
                        f"console=ttyS0 quiet {append}", "--net", "none", "--display", "none", *options, **settings)

    return start


def trouble(machine):
    return [line for line in machine.serial.splitlines() if TROUBLE.search(line) and not any(k in line for k in KNOWN)]


FIO = ("fio --name=v --filename=/dev/nvme0n1 --rw=randwrite --bsrange=512-256k --bs_unaligned=0 --blockalign=512 "
       "--size=12M --direct=1 --ioengine=psync --verify=crc32c --verify_fatal=1 --fsync=64 --output-format=terse "
       ">/tmp/fio || { cat /tmp/fio; exit 1; }\n")
# A message for each queue, the admin queue's and one for each vCPU; doorbells in memory.
LOOK = ("cat /sys/block/nvme0n1/device/serial /sys/block/nvme0n1/device/model /sys/block/nvme0n1/wwid\n"
        "cat /sys/block/nvme0n1/queue/write_cache /sys/block/nvme0n1/queue/max_hw_sectors_kb; grep nvme0q /proc/interrupts\n"
        "dmesg | grep -i nvme; echo SEEN\n")


@pytest.mark.parametrize("engine", ["io_uring", pytest.param("threads", marks=pytest.mark.long)])
@pytest.mark.parametrize("cpus", [1, pytest.param(4, marks=pytest.mark.long)])
def test_disk_under_verification(linux, image, engine, cpus):
    machine = linux(LOOK + FIO + LOOK, "--cpus", cpus, "--disk",
                    f"{image(64)},bus=nvme,engine={engine},queues={cpus},serial=SN-42", layers=["fio"], memory="512M")
    assert machine.guest_status(600) == 0
    assert machine.wait_end() == 0
    text = machine.serial
    assert re.search(r"^SN-42", text, re.MULTILINE) and "Casement NVMe disk" in text and "write back" in text
    # Linux takes identifiers of namespaces from no controller with this PCI id, so it makes one of the serial number.
    assert re.search(r"^(eui\.\w{32}|nvme\.1b36-534e2d3432-)", text, re.MULTILINE)
    assert re.search(r"^512\r?$", text, re.MULTILINE)  # the largest transfer, in KiB
    assert len(set(re.findall(r"PCI-MSI.*(nvme0q\d+)", text))) == cpus + 1
    assert not trouble(machine), trouble(machine)


@pytest.mark.long
def test_discard_frees_and_zeroes(linux, image, rig):
    path = image(32)
    script = ("dd if=/dev/urandom of=/dev/nvme0n1 bs=1M count=32 oflag=direct && sync\n"
              "blkdiscard -o 0 -l $((16<<20)) /dev/nvme0n1 || exit 1\n"
              "nvme write-zeroes /dev/nvme0n1 --start-block=32768 --block-count=16383 || exit 2\n"
              "[ $(dd if=/dev/nvme0n1 bs=1M count=24 iflag=direct | tr -d '\\000' | wc -c) = 0 ] || exit 3\n")
    machine = linux(script, "--disk", f"{path},bus=nvme", layers=["nvme"])
    assert machine.guest_status() == 0
    assert machine.wait_end() == 0
    assert int(rig.shell(f"du -k {path}").stdout.split()[0]) <= 17 << 10
    assert not trouble(machine), trouble(machine)


TOOLS = [
    "nvme id-ctrl /dev/nvme0", "nvme id-ns /dev/nvme0n1", "nvme ns-descs /dev/nvme0n1", "nvme list-ns /dev/nvme0",
    "nvme error-log /dev/nvme0", "nvme smart-log /dev/nvme0", "nvme fw-log /dev/nvme0", "nvme effects-log /dev/nvme0",
    "nvme get-log /dev/nvme0 --log-id=0 --log-len=1024", "nvme flush /dev/nvme0n1 --namespace-id=1",
    "nvme dsm /dev/nvme0n1 --ad --slbs=0 --blocks=64", "nvme set-feature /dev/nvme0 --feature-id=6 --value=0",
    "nvme set-feature /dev/nvme0 --feature-id=6 --value=1", "nvme reset /dev/nvme0",
    "smartctl --all /dev/nvme0",
    *(f"nvme get-feature /dev/nvme0 --namespace-id=1 --feature-id={n} --data-len={8 if n == 14 else 0}"
      for n in (1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 14)),
]


def test_tools_find_nothing_missing(linux, image):
    script = "".join(f"echo '# {tool}'; {tool} || echo FAILED $?\n" for tool in TOOLS)
    machine = linux(script, "--disk", f"{image(16)},bus=nvme,serial=SN-42", layers=["nvme"])
    assert machine.guest_status(300) == 0
    text = machine.serial
    assert "FAILED" not in text, re.findall(r"# (.*)\r?\n(?:(?!# ).*\n)*FAILED", text)
    assert not re.search(r"NVMe status|not supported|Unknown", text), text
    assert re.search(r"SMART overall-health self-assessment test result: PASSED", text)
    assert not trouble(machine), trouble(machine)


@pytest.mark.long
def test_read_only_disk(linux, image, rig):
    path = image(8)
    before = rig.shell(f"md5sum {path}").stdout
    machine = linux("cat /sys/block/nvme0n1/ro | grep 1 && ! dd if=/dev/zero of=/dev/nvme0n1 bs=4k count=1", "--disk",
                    f"{path},bus=nvme,readonly")
    assert machine.guest_status() == 0
    assert rig.shell(f"md5sum {path}").stdout == before


@pytest.mark.long
def test_controller_reset_under_load(linux, image):
    """The driver resets the controller while fio verifies: it tries again what was cancelled, and all is right."""
    resets = 20 if LONG else 4
    script = (
        "(" + FIO.strip() + "; echo done >/tmp/done) & i=0\n"
        f"while [ $i -lt {resets} ]; do i=$((i+1)); echo 1 >/sys/class/nvme/nvme0/reset_controller; sleep 1; done\n"
        "wait; cat /tmp/done; echo RESETS $i\n"
        "echo 1 >/sys/bus/pci/devices/$(basename $(readlink -f /sys/class/nvme/nvme0/device))/remove\n"
        "! [ -e /dev/nvme0n1 ] && echo 1 >/sys/bus/pci/rescan && sleep 2 && dd if=/dev/nvme0n1 of=/dev/null bs=1M count=8\n")
    machine = linux(script, "--cpus", 2, "--disk", f"{image(64)},bus=nvme,queues=2", layers=["fio"], memory="512M")
    assert machine.guest_status(600) == 0
    assert f"RESETS {resets}" in machine.serial and re.search(r"^done", machine.serial, re.MULTILINE)
    assert machine.wait_end() == 0


@pytest.mark.long
@pytest.mark.parametrize("options", ["nvme.use_threaded_interrupts=1", "pci=nomsi", "nvme.poll_queues=1"])
def test_other_ways_of_interrupts(linux, image, options):
    machine = linux(FIO.replace("12M", "4M"), "--disk", f"{image(16)},bus=nvme,queues=2", append=options,
                    layers=["fio"], memory="512M")
    assert machine.guest_status(600) == 0
    assert machine.wait_end() == 0
    assert not trouble(machine), trouble(machine)


def test_firmware_starts_from_it(casement, initrd, folder):
    """Firmware's driver polls and has queues of two entries; Linux takes the controller over from it."""
    disk = guest_image.boot_disk(folder / "disk", initrd("ls /dev/nvme0n1; dmesg | grep -i nvme"),
                                 "console=ttyS0 quiet")
    machine = casement("--memory", "512M", "--cpus", "2", "--disk", f"{disk},bus=nvme,queues=2,readonly")
    assert machine.guest_status(500) == 0
    assert machine.wait_end() == 0
    assert "/dev/nvme0n1" in machine.serial and not trouble(machine)
    disk.unlink()
