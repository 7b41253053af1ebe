"""The virtio SCSI host under Debian's own driver: found, verified under load with several queues, freed, reset. LONG=1: more."""
import re

import pytest

FIND = "modprobe -a virtio_scsi sd_mod sg; until [ -b /dev/sda ]; do sleep 0.1; done\n"
FIO = ("fio --name=v --filename=/dev/sda --rw=randwrite --bsrange=512-256k --bs_unaligned=0 --blockalign=512 --size=12M "
       "--direct=1 --ioengine=libaio --iodepth=16 --verify=crc32c --verify_fatal=1 --fsync=64 --output-format=terse "
       ">/tmp/fio || { cat /tmp/fio; exit 1; }\n")
# UNMAP of what was written, a reset of the unit and of the host in the middle of reads; what sg3_utils finds.
REST = ("blkdiscard -o 0 -l $((4<<20)) /dev/sda || exit 2\n"
        "[ $(dd if=/dev/sda bs=1M count=4 iflag=direct 2>/dev/null | tr -d '\\000' | wc -c) = 0 ] || exit 3\n"
        "dd if=/dev/sda of=/dev/null bs=64k iflag=direct 2>/dev/null & sg_reset -d /dev/sda; sg_reset -H /dev/sda; wait $! || exit 4\n"
        "sg_inq /dev/sda; sg_readcap -l /dev/sda; sg_luns /dev/sda || exit 5\n"
        "dmesg | grep -iE 'I/O error|virtio.*(timeout|abort|fail)' && exit 6\ntrue\n")


@pytest.fixture
def linux(casement, initrd, kernel):
    def start(script, *options, **settings):
        return casement("--memory", "384M", "--kernel", kernel.image, "--initrd", initrd(script, ["fio", "sg3"]), "--append",
                        "console=ttyS0 quiet", "--net", "none", "--display", "none", *options, **settings)

    return start


@pytest.mark.parametrize("engine,cpus,form", [
    ("io_uring", 1, "raw"), *(pytest.param(*case, marks=pytest.mark.long) for case in (
        ("threads", 4, "raw"), ("io_uring", 4, "qcow2"), ("threads", 1, "qcow2")))])
def test_disk_under_verification(linux, rig, image, engine, cpus, form):
    path = image(64)
    if form == "qcow2":
        rig.shell(f"rm {path}; qemu-img create -q -f qcow2 {path} 64M")
    machine = linux(FIND + FIO + REST, "--cpus", cpus, "--disk",
                    f"{path},bus=scsi,format={form},engine={engine},queues={cpus},serial=SN-42")
    assert machine.guest_status(600) == 0
    assert machine.wait_end() == 0
    assert re.search(r"Vendor identification: Casement", machine.serial) and "SN-42" in machine.serial
    assert re.search(r"lbpme=1", machine.serial)
