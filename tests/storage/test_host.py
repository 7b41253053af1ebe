"""What the host does to a disk: it is full, it fails, its image goes away; and what an operator allows a guest to do."""
import json
import re

import pytest

LOAD = "await() { until [ -b /dev/$1 ]; do sleep 0.1; done; }\n"
# Random data, as it was and as the disk has it.
WRITE = ("dd if=/dev/urandom of=/tmp/data bs=1M count=24 2>/dev/null; md5sum </tmp/data >/tmp/sum\n"
         "echo WRITES; dd if=/tmp/data of=/dev/{0} bs=64k oflag=direct conv=fsync 2>/dev/null || echo FAILED\n"
         "dd if=/dev/{0} bs=1M count=24 iflag=direct 2>/dev/null | md5sum | diff - /tmp/sum && echo SAME\n")


@pytest.fixture
def linux(casement, initrd, kernel):
    def start(script, *options):
        return casement("--memory", "256M", "--net", "none", "--display", "none", "--kernel", kernel.image, "--initrd",
                        initrd(LOAD + script), "--append", "console=ttyS0 quiet", *options)

    return start


@pytest.fixture
def small(rig):
    """A file system of 16 MiB; grow() gives it 64."""
    place = rig.shell("d=$(mktemp -d /tmp/small.XXXXXX); mount -t tmpfs -o size=16m tmpfs $d; echo $d").stdout.strip()
    yield place
    rig.shell(f"umount {place}; rmdir {place}")


def disks(machine):
    return {disk["name"]: disk for disk in json.loads(machine.ctl("api", "GET", "/api/v1/disks"))}


def status(machine):
    return json.loads(machine.ctl("api", "GET", "/api/v1/status"))


def wait_status(machine, wanted, tries=300):
    for _ in range(tries):
        now = status(machine)
        if wanted(now):
            return now
    raise AssertionError(f"the status stays {now}")


@pytest.mark.parametrize("kind,options", [
    ("raw", "bus=nvme"), pytest.param("qcow2", "format=qcow2,engine=threads", marks=pytest.mark.long)])
def test_a_full_host_stops_the_machine_until_there_is_space(linux, rig, small, kind, options):
    rig.run("./casement", "image", "create", f"{small}/disk", "32M", "--format", kind)
    name = "nvme0n1" if "nvme" in options else "vda"
    machine = linux(f"await {name}\n" + WRITE.format(name), "--disk", f"{small}/disk,{options}")
    machine.wait_serial("WRITES", 300)
    paused = wait_status(machine, lambda now: now["phase"] == "paused")
    assert paused["waits_for"] == "space on the host for disk0"
    assert disks(machine)["disk0"]["full"] and disks(machine)["disk0"]["errors"] == 0
    assert "waits-for=" in machine.ctl("status")
    rig.shell(f"mount -o remount,size=64m {small}")
    machine.wait_serial("SAME", 300)
    assert machine.guest_status() == 0 and machine.wait_end() == 0
    assert "FAILED" not in machine.serial and "I/O error" not in machine.serial
    log = machine.log.read_text()
    assert "the machine stands still and waits for space on the host for disk0" in log
    assert "no disk waits for space any more; the machine goes on" in log


@pytest.mark.long
def test_a_full_host_is_reported_when_asked(linux, rig, small):
    rig.run("./casement", "image", "create", f"{small}/disk", "32M")
    machine = linux("await vda\n" + WRITE.format("vda"), "--disk", f"{small}/disk", "--on-full", "report")
    machine.wait_serial("FAILED", 300)
    machine.guest_status()
    assert machine.wait_end() == 0
    assert re.search("(I/O|critical .*) error, dev vda", machine.serial)


def test_a_paused_machine_can_be_reset_and_stopped(linux, rig, small):
    rig.run("./casement", "image", "create", f"{small}/disk", "32M")
    machine = linux("await vda\n" + WRITE.format("vda"), "--disk", f"{small}/disk")
    for _ in range(2):
        machine.wait_serial("WRITES", 300)
        wait_status(machine, lambda now: now["phase"] == "paused")
        machine.ctl("reset")
    machine.wait_serial("WRITES", 300)
    wait_status(machine, lambda now: now["phase"] == "paused" and now["resets"] == 2)
    machine.ctl("stop")
    assert machine.wait_end() == 0


# A block device of the host with sectors that it cannot read or write; the guest sees errors there and nowhere else.
@pytest.mark.parametrize("bus,name", [
    pytest.param("virtio", "vda", marks=pytest.mark.long), ("nvme", "nvme0n1"),
    pytest.param("ahci", "sda", marks=pytest.mark.long)])
def test_bad_sectors_of_the_host(linux, rig, bus, name):
    device = "/dev/nullb0"
    rig.shell("modprobe null_blk nr_devices=0; mount -t configfs none /sys/kernel/config 2>/dev/null; "
              "cd /sys/kernel/config/nullb && mkdir -p nullb0 && cd nullb0 && echo 512 >blocksize && echo 32 >size && echo 1 >memory_backed && "
              "echo +2048-2055 >badblocks && echo 1 >power")
    try:
        script = ("modprobe -a ahci sd_mod 2>/dev/null; await {0}\n"
                  "dd if=/dev/zero of=/dev/{0} bs=4096 count=256 oflag=direct 2>/dev/null || exit 1\n"
                  "dd if=/dev/{0} of=/dev/null bs=4096 skip=256 count=1 iflag=direct 2>/dev/null && exit 2\n"
                  "dd if=/dev/zero of=/dev/{0} bs=4096 seek=256 count=1 oflag=direct 2>/dev/null && exit 3\n"
                  "dd if=/dev/zero of=/dev/{0} bs=4096 seek=257 count=16 oflag=direct conv=fsync 2>/dev/null || exit 4\n"
                  "dd if=/dev/{0} of=/dev/null bs=4096 skip=257 count=16 iflag=direct 2>/dev/null || exit 5\n"
                  "echo PROVED\n").format(name)
        machine = linux(script, "--disk", f"{device},bus={bus}")
        assert machine.guest_status(300) == 0
        assert machine.wait_end() == 0
        assert re.search(f"error, dev {name}, sector 2048", machine.serial)
        assert "timeout" not in machine.serial
    finally:
        rig.shell("echo 0 >/sys/kernel/config/nullb/nullb0/power; rmdir /sys/kernel/config/nullb/nullb0")


def test_an_image_that_is_removed_serves_until_the_end(linux, rig, image):
    path = image(32)
    machine = linux("await vda\n" + WRITE.format("vda"), "--disk", path)
    machine.wait_control()
    rig.shell(f"rm {path}")
    machine.wait_serial("SAME", 300)
    assert machine.guest_status() == 0 and machine.wait_end() == 0


def test_limits_hold_and_are_counted(linux, image):
    # 4 MiB by a limit of 1 MiB/s, 128 reads by a limit of 64 a second: the guest's own clock says how long they took.
    script = ("await vda; await nvme0n1; now() { cut -d. -f1 /proc/uptime; }\n"
              "a=$(now); dd if=/dev/vda of=/dev/null bs=256k count=16 iflag=direct 2>/dev/null; b=$(now)\n"
              "dd if=/dev/nvme0n1 of=/dev/null bs=4096 count=128 iflag=direct 2>/dev/null; c=$(now)\n"
              "echo TOOK $((b - a)) $((c - b)); sleep 1000\n")
    machine = linux(script, "--disk", f"{image(16)},bps=1M", "--disk", f"{image(16)},bus=nvme,iops=64")
    by_bytes, by_operations = map(int, machine.wait_serial(r"TOOK (\d+) (\d+)\s", 300).groups())
    assert by_bytes >= 2 and by_operations >= 1
    now = disks(machine)
    assert now["disk0"]["limit_bytes_per_second"] == 1 << 20 and now["disk0"]["limit_operations_per_second"] is None
    assert now["disk1"]["limit_operations_per_second"] == 64
    assert now["disk0"]["delayed"] >= 10 and now["disk1"]["delayed"] >= 50
    assert now["disk0"]["read_bytes"] >= 4 << 20 and now["disk1"]["reads"] >= 128
    assert {disk["bus"] for disk in now.values()} == {"virtio", "nvme"}
