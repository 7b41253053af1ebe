"""AHCI: Debian's own drivers on disks and CD-ROM drives, and firmware that starts from each."""
import hashlib
import os
import re
import subprocess
from pathlib import Path

import guest_image
import pytest

TREE = Path(__file__).resolve().parents[2]
LONG = os.environ.get("LONG") == "1"
LOAD = "modprobe sd_mod; modprobe sr_mod; modprobe isofs; until [ -b /dev/sda ]; do sleep 0.1; done\n"


def disk(path):
    return "--disk", f"{path},bus=ahci,serial=SN-42"


def disc(path):
    return "--cdrom", path


@pytest.fixture
def linux(casement, initrd, kernel):
    def start(script, *options, layers=(), **settings):
        return casement("--memory", "512M", "--kernel", kernel.image, "--initrd", initrd(LOAD + script, layers), "--append",
                        "console=ttyS0 quiet", *options, **settings)

    return start


@pytest.fixture
def image(folder):
    """image(bytes): a file of noise, known by its checksum."""

    def make(size):
        data = hashlib.shake_128(b"disc").digest(size)
        (folder / "image").write_bytes(data)
        return folder / "image", hashlib.md5(data).hexdigest()

    yield make
    (folder / "image").unlink(missing_ok=True)


@pytest.mark.parametrize("engine", ["io_uring", pytest.param("threads", marks=pytest.mark.long)])
@pytest.mark.parametrize("cpus", [1, 4] if LONG else [1])
def test_disk_under_verification(linux, rig, cpus, engine):
    path = rig.shell("f=$(mktemp /tmp/disk.XXXXXX); truncate -s 64M $f; echo $f").stdout.strip()
    script = ("dmesg | grep -i ata1\n"
              "fio --name=v --filename=/dev/sda --rw=randwrite --bsrange=512-64k --bs_unaligned=0 --blockalign=512 "
              "--size=12M --direct=1 --ioengine=libaio --iodepth=32 --verify=crc32c --verify_fatal=1 --fsync=64 "
              "--output-format=terse >/tmp/fio || { cat /tmp/fio; dmesg | tail -50; exit 1; }\n"
              "dmesg | grep -iE 'ata[0-9].*(error|exception|reset|failed)' && exit 3\n"
              "blkdiscard -o 0 -l $((8<<20)) /dev/sda || exit 4\n"
              "[ $(dd if=/dev/sda bs=1M count=8 iflag=direct | tr -d '\\000' | wc -c) = 0 ] || exit 5\n")
    machine = linux(script, "--cpus", cpus, "--disk", f"{path},bus=ahci,engine={engine}", layers=["fio"])
    assert machine.guest_status(600) == 0
    assert "NCQ (depth 32)" in machine.serial
    assert machine.wait_end() == 0
    rig.shell(f"rm {path}")


def test_disc_reads_back(linux, rig, image):
    path, checksum = image(4400 << 20 if LONG else 24 << 20)
    spare = rig.shell("f=$(mktemp /tmp/disk.XXXXXX); truncate -s 8M $f; echo $f").stdout.strip()
    script = ("until dd if=/dev/sr0 of=/dev/null bs=2k count=1 2>/dev/null; do sleep 0.1; done; md5sum /dev/sr0; cat /proc/sys/dev/cdrom/info\n"
              "! dd if=/dev/zero of=/dev/sr0 bs=2k count=1 2>/dev/null || exit 3\n"
              "dmesg | grep -iE 'ata[0-9].*(error|exception|failed)' && exit 4\n"
              "[ $(cat /sys/block/sda/device/vendor) = ATA ]\n")
    machine = linux(script, *disk(spare), *disc(path))
    assert machine.guest_status(3000 if LONG else 300) == 0
    assert f"{checksum}  /dev/sr0" in machine.serial
    assert re.search(r"Can read DVD:\s+1", machine.serial)
    assert machine.wait_end() == 0
    rig.shell(f"rm {spare}")


@pytest.mark.long
def test_port_reset_under_load(linux, rig):
    """libata's own recovery, asked for again and again, while fio verifies."""
    path = rig.shell("f=$(mktemp /tmp/disk.XXXXXX); truncate -s 64M $f; echo $f").stdout.strip()
    script = ("fio --name=v --filename=/dev/sda --rw=randwrite --bs=4k --size=16M --direct=1 --ioengine=libaio --iodepth=32 "
              "--verify=crc32c --verify_fatal=1 --output-format=terse >/tmp/fio & job=$!\n"
              "n=0; while [ $n -lt 10 ] && kill -0 $job; do n=$((n+1)); echo - - - >/sys/class/scsi_host/host0/scan; "
              "sleep 0.3; done\n"
              "wait $job || { cat /tmp/fio; dmesg | tail -50; exit 1; }; echo SCANS $n\n")
    machine = linux(script, "--cpus", "2", *disk(path), layers=["fio"])
    assert machine.guest_status(600) == 0
    assert machine.wait_end() == 0
    rig.shell(f"rm {path}")


@pytest.mark.long
def test_firmware_starts_a_disk(casement, initrd, folder):
    made = guest_image.boot_disk(folder / "disk", initrd(LOAD + "cat /sys/block/sda/device/model\n"),
                                 "console=ttyS0 quiet")
    machine = casement("--memory", "512M", *disk(made))
    assert machine.guest_status(500) == 0
    assert re.search(r"starting Boot.*Sata\(0x0", machine.serial)
    assert re.search(r"(?m)^Casement disk", machine.serial)
    made.unlink()


@pytest.mark.long
def test_firmware_starts_a_disc(casement, folder):
    iso = folder / "installer.iso"
    subprocess.run([TREE / "tools/installer-iso", iso], check=True)
    machine = casement("--memory", "1G", "--display", "1024x768", *disc(iso))
    machine.wait_control()
    screen = machine.wait_screen("(?i)select a language|choose the language", 600)
    assert "Deutsch" in screen
    machine.ctl("stop")
    assert machine.wait_end() == 0
    iso.unlink()
