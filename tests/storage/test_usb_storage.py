"""USB mass storage: Debian's own driver on a disk that is a qcow2 image and on a CD-ROM drive that comes and goes."""
import hashlib
import subprocess

import guest_image
import machines
import pytest

# The name is there a moment before the driver has done with the device.
LOAD = ("modprobe -a usb-storage sd_mod sr_mod\n"
        "await() { until dd if=$1 of=/dev/null bs=2k count=1 2>/dev/null; do sleep 0.1; done; }\n")


@pytest.fixture
def linux(casement, initrd, kernel):
    def start(script, *options, layers=()):
        return casement("--memory", "512M", "--net", "none", "--display", "none", "--kernel", kernel.image, "--initrd",
                        initrd(LOAD + script, layers), "--append", "console=ttyS0 quiet", *options)

    return start


def test_a_disk_under_verification(linux, folder):
    image = folder / "disk.qcow2"
    casement = machines.TREE / "casement"
    subprocess.run([casement, "image", "create", image, "64M", "--format", "qcow2"], check=True)
    script = ("await /dev/sda; cat /sys/block/sda/removable /sys/block/sda/device/vendor\n"
              "fio --name=v --filename=/dev/sda --rw=randwrite --bsrange=512-64k --bs_unaligned=0 --blockalign=512 "
              "--size=8M --direct=1 --ioengine=psync --verify=crc32c --verify_fatal=1 --fsync=64 --output-format=terse "
              ">/tmp/fio || { cat /tmp/fio; exit 1; }\n"
              "dmesg | grep -iE 'usb.*(reset|error)|I/O error' && exit 3\ntrue\n")
    machine = linux(script, "--disk", f"{image},bus=usb,format=qcow2", layers=["fio"])
    assert machine.guest_status(600) == 0
    assert "Casement" in machine.serial
    assert machine.wait_end() == 0
    answer = subprocess.run([casement, "image", "check", image], check=True, capture_output=True, text=True).stdout
    assert "no errors" in answer and " 0 clusters of data" not in answer
    subprocess.run(["qemu-img", "check", "-q", image], check=True)
    image.unlink()


def test_a_disc_comes_and_goes(linux, folder):
    data = hashlib.shake_128(b"disc").digest(8 << 20)
    disc = folder / "disc.iso"
    disc.write_bytes(data)
    script = ("await /dev/sr0; md5sum /dev/sr0\nuntil [ ! -b /dev/sr0 ]; do sleep 0.1; done; echo DISC-GONE\n"
              "await /dev/sr0; md5sum /dev/sr0\n")
    machine = linux(script, "--cdrom", f"{disc},bus=usb")
    checksum = hashlib.md5(data).hexdigest()
    machine.wait_serial(checksum)
    machine.ctl("api", "POST", "/api/v1/usb/cdrom0/unplug")
    machine.wait_serial("DISC-GONE")
    machine.ctl("api", "POST", "/api/v1/usb/cdrom0/plug")
    machine.wait_serial(checksum)
    assert machine.guest_status() == 0
    assert machine.wait_end() == 0
    disc.unlink()


@pytest.mark.long
def test_a_disc_of_a_dvds_size_reads_back(linux, rig, image):
    path = image(4400)
    rig.shell(f"for n in 0 1100 2200 3300 4399; do head -c 1048576 /dev/urandom | dd of={path} bs=1M seek=$n conv=notrunc status=none; done")
    checksum = rig.shell(f"md5sum <{path}", seconds=600).stdout.split()[0]
    machine = linux("await /dev/sr0; dd if=/dev/sr0 bs=256k | md5sum\n", "--cdrom", f"{path},bus=usb")
    machine.wait_serial(checksum, 3000)
    assert machine.guest_status() == 0


@pytest.mark.long
def test_firmware_starts_a_disk(casement, initrd, folder):
    disk = guest_image.boot_disk(folder / "disk", initrd(LOAD + "await /dev/sda; echo STARTED-FROM-USB"), "console=ttyS0 quiet")
    machine = casement("--memory", "512M", "--disk", f"{disk},bus=usb,readonly")
    assert machine.guest_status(500) == 0
    assert "STARTED-FROM-USB" in machine.serial
    assert machine.wait_end() == 0
    disk.unlink()
