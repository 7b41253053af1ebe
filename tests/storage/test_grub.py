"""Firmware starts a GRUB from every kind of disk and drive, and GRUB reads a file there through the firmware."""
import subprocess

import pytest

CONFIG = "terminal_output console\ncat /proof\necho GRUB-IS-DONE\nsleep 2\nhalt\n"
PROOF = "this comes from the medium"


@pytest.fixture
def medium(folder):
    """One image that is a disc and, with its partition table, a disk."""
    tree, image = folder / "tree", folder / "grub.iso"
    (tree / "boot/grub").mkdir(parents=True)
    (tree / "boot/grub/grub.cfg").write_text(CONFIG)
    (tree / "proof").write_text(PROOF + "\n")
    subprocess.run(["grub-mkrescue", "-o", image, tree], check=True, capture_output=True)
    yield image
    image.unlink()


@pytest.mark.parametrize("option,properties", [
    ("--disk", "bus=nvme,readonly"),
    pytest.param("--cdrom", "bus=usb", marks=pytest.mark.long),
    pytest.param("--disk", "bus=ahci,readonly", marks=pytest.mark.long),
    pytest.param("--disk", "bus=usb,readonly", marks=pytest.mark.long),
    pytest.param("--disk", "bus=virtio,readonly", marks=pytest.mark.long),
    pytest.param("--cdrom", "bus=ahci", marks=pytest.mark.long),
])
def test_grub_starts(casement, medium, option, properties):
    machine = casement("--memory", "256M", "--net", "none", option, f"{medium},{properties}")
    machine.wait_serial(PROOF, 600)
    machine.wait_serial("GRUB-IS-DONE")
    assert machine.wait_end() == 0
