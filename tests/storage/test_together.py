"""
A disk of each kind in one Linux guest, all verified at once, and the tools of sg3_utils on what speaks SCSI. LONG=1: raw
and qcow2, both engines, 1 and 4 vCPUs, with an NVMe controller that is reset under the load.
"""
import os
import re

import machines
import pytest

LONG = os.environ.get("LONG") == "1"
DISKS = {"virtio": "vda", "nvme": "nvme0n1", "ahci": "sda", "usb": "sdb"}
LOAD = ("modprobe sd_mod; until [ -b /dev/sda ]; do sleep 0.1; done\n"
        "modprobe -a usb-storage sr_mod sg; until [ -b /dev/sdb ]; do sleep 0.1; done\n")
# Of these the NVMe driver alone lets a user ask for a reset.
RESETS = "for n in 1 2 3 4 5; do echo 1 >/sys/class/nvme/nvme0/reset_controller; sleep 2; done; echo RESETS\n"


@pytest.fixture
def linux(casement, initrd, kernel):
    def start(script, *options, layers=(), **settings):
        return casement("--memory", "512M", "--net", "none", "--display", "none", "--kernel", kernel.image, "--initrd",
                        initrd(LOAD + script, layers), "--append", "console=ttyS0 quiet", *options, **settings)

    return start


@pytest.fixture
def disks(rig):
    """disks(format): an image of 64 MiB for each kind, in the rig's memory."""
    folder = rig.shell("mktemp -d").stdout.strip()

    def make(form):
        for bus in DISKS:
            rig.run(machines.TREE / "casement", "image", "create", f"{folder}/{bus}", "64M", "--format", form)
        return {bus: f"{folder}/{bus}" for bus in DISKS}

    yield make
    rig.shell(f"rm -r {folder}")


def fio(bus):
    return (f"fio --name=v --filename=/dev/{DISKS[bus]} --rw=randwrite --bsrange=512-64k --bs_unaligned=0 --blockalign=512 "
            "--size=8M --direct=1 --ioengine=libaio --iodepth=8 --verify=crc32c --verify_fatal=1 --fsync=32 "
            f"--output-format=terse >/tmp/{bus} && echo DONE {bus} || {{ echo FAILED {bus}; cat /tmp/{bus}; }} &\n")


@pytest.mark.parametrize("form,engine,cpus", [
    (form, engine, cpus) for form in ("qcow2", "raw") for engine in ("io_uring", "threads") for cpus in (4, 1)
] if LONG else [("qcow2", "threads", 1)])
def test_all_at_once(linux, rig, disks, form, engine, cpus):
    paths = disks(form)
    script = "".join(fio(bus) for bus in DISKS) + (RESETS if LONG else "") + "wait\n"
    script += "dmesg | grep -iE 'I/O error|ata[0-9].*(exception|failed)' && exit 3\ntrue\n"
    options = []
    for bus, path in paths.items():
        queues = f",queues={cpus}" if bus in ("virtio", "nvme") else ""
        options += ["--disk", f"{path},bus={bus},format={form},engine={engine}{queues}"]
    machine = linux(script, "--cpus", cpus, *options, layers=["fio"])
    assert machine.guest_status(1500) == 0
    assert set(re.findall(r"^DONE (\w+)", machine.serial, re.MULTILINE)) == set(DISKS), machine.serial[-3000:]
    assert machine.wait_end() == 0
    for path in paths.values() if form == "qcow2" else ():
        rig.run("qemu-img", "check", "-q", "-f", "qcow2", path)


# What each must know (SBC-4, MMC-6, SPC-4); an ATA disk speaks SCSI through the driver's translation.
COMMANDS = ["sg_inq", "sg_vpd --page=sv", "sg_vpd --page=di", "sg_turs", "sg_requests", "sg_luns", "sg_modes --all"]
OF_A_DISK = ["sg_vpd --page=bl", "sg_vpd --page=bdc", "sg_readcap", "sg_readcap --16", "sg_sync", "sg_verify --count=8"]
OF_A_USB_DISK = ["sg_vpd --page=lbpv", "sg_vpd --page=sn"]
OF_A_DRIVE = ["sg_readcap", "sg_get_config --brief"]


def test_scsi_tools_find_nothing_missing(linux, disks, folder):
    paths, disc = disks("raw"), folder / "disc.iso"
    disc.write_bytes(b"casement" * (1 << 17))
    asked = [f"{command} /dev/{device}" for device, commands in (
        ("sda", COMMANDS + OF_A_DISK), ("sdb", COMMANDS + OF_A_DISK + OF_A_USB_DISK), ("sr0", COMMANDS + OF_A_DRIVE),
        ("sr1", COMMANDS + OF_A_DRIVE)) for command in commands] + ["smartctl --info --health /dev/sda"]
    script = "until dd if=/dev/sr1 of=/dev/null bs=2k count=1 2>/dev/null; do sleep 0.1; done\n"
    script += "".join(f"echo '# {command}'; {command} || echo FAILED $?\n" for command in asked)
    machine = linux(script, "--disk", f"{paths['ahci']},bus=ahci,serial=SN-42", "--disk", f"{paths['usb']},bus=usb,serial=SN-43",
                    "--cdrom", disc, "--cdrom", f"{disc},bus=usb", layers=["sg3"])
    assert machine.guest_status(300) == 0
    text = machine.serial
    assert "FAILED" not in text, re.findall(r"# .*\r?\n(?:(?!# ).*\n)*FAILED.*", text)
    assert not re.search(r"(?i)illegal request|invalid (field|opcode)|malformed", text), text
    assert machine.wait_end() == 0
    disc.unlink()
