"""Disks that grow while Linux runs: virtio and NVMe disks are larger at once, a USB disk when the guest looks again."""
import subprocess

import machines
import pytest

SECTORS_OF = {"vda": (24 << 20) // 512, "nvme0n1": (1200 << 20) // 512, "sda": (40 << 20) // 512}
LOAD = "modprobe -a usb-storage sd_mod\nawait() { until [ -b /dev/$1 ]; do sleep 0.1; done; }\n"
# The size is waited for without a word to the driver; what is written into the new part is read back from the disk.
FUNCTIONS = """
has() { [ $(cat /sys/block/$1/size) = $2 ]; }
prove() {
    dd if=/dev/urandom of=/tmp/data bs=4096 count=16 2>/dev/null
    dd if=/tmp/data of=/dev/$1 bs=4096 count=16 seek=$(($2 / 8 - 16)) oflag=direct conv=fsync 2>/dev/null || exit 1
    dd if=/dev/$1 bs=4096 count=16 skip=$(($2 / 8 - 16)) iflag=direct 2>/dev/null | md5sum >/tmp/read
    md5sum </tmp/data | diff - /tmp/read || exit 2
    echo PROVED $1
}
"""


@pytest.fixture
def linux(casement, initrd, kernel):
    def start(script, *options):
        return casement("--memory", "512M", "--net", "none", "--display", "none", "--kernel", kernel.image, "--initrd",
                        initrd(LOAD + FUNCTIONS + script), "--append", "console=ttyS0 quiet", *options)

    return start


def image(*words):
    return subprocess.run([machines.TREE / "casement", "image", *map(str, words)], check=True, capture_output=True,
                          text=True).stdout


def test_disks_grow_while_linux_runs(linux, folder):
    raw, qcow2, stick = folder / "a.raw", folder / "b.qcow2", folder / "c.raw"
    image("create", raw, "16M")
    image("create", qcow2, "16M", "--format", "qcow2", "--cluster-size", "4K")  # whose tables must move
    image("create", stick, "16M")
    vda, nvme, sda = (SECTORS_OF[name] for name in ("vda", "nvme0n1", "sda"))
    machine = linux(
        f"await vda; await nvme0n1; await sda; echo ALL-THERE\n"
        f"until has vda {vda}; do sleep 0.1; done; prove vda {vda}\n"
        f"until has nvme0n1 {nvme}; do sleep 0.1; done; prove nvme0n1 {nvme}\n"
        f"until has sda {sda}; do sleep 0.5; echo 1 >/sys/block/sda/device/rescan; done; prove sda {sda}\n"
        "dmesg | grep -v 'Shutdown timeout set to' | grep -iE '(nvme|usb|vda|sda).*(error|reset|timeout)' && exit 3\ntrue\n",
        "--disk", raw, "--disk", f"{qcow2},bus=nvme,format=qcow2", "--disk", f"{stick},bus=usb")
    machine.wait_serial("ALL-THERE", 300)
    refused = machine.ctl("grow", "disk0", "8M", check=False)
    assert refused.status == 1 and "never shrinks; it has 16777216 bytes" in refused.stderr
    refused = machine.ctl("grow", "disk7", "1G", check=False)
    assert refused.status == 1 and "no such disk; give one of disk0, disk1, disk2" in refused.stderr
    for disk, size, name in (("disk0", "24M", "vda"), ("disk1", "1200M", "nvme0n1"), ("disk2", "40M", "sda")):
        assert machine.ctl("grow", disk, size) == ""
        machine.wait_serial(f"PROVED {name}")
    assert machine.guest_status() == 0
    assert machine.wait_end() == 0
    assert (raw.stat().st_size, stick.stat().st_size) == (24 << 20, 40 << 20)
    assert "1.2 GiB" in image("info", qcow2, "--format", "qcow2")
    assert "no errors" in image("check", qcow2)
    for path in (raw, qcow2, stick):
        path.unlink()
