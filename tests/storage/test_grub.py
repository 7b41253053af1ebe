"""Firmware starts a GRUB from every kind of disk and drive, and GRUB reads a file there through the firmware."""
import subprocess

import guest_image
import pytest

CONFIG = "terminal_output console\nsearch --file --set=root /proof\ncat /proof\necho GRUB-IS-DONE\nsleep 2\nhalt\n"
PROOF = "this comes from the medium"


@pytest.fixture
def tree(folder):
    (folder / "tree/boot/grub").mkdir(parents=True)
    (folder / "tree/boot/grub/grub.cfg").write_text(CONFIG)
    (folder / "tree/proof").write_text(PROOF + "\n")
    return folder / "tree"


@pytest.fixture
def disk(folder, tree):
    program, image = folder / "grub.efi", folder / "disk"
    subprocess.run(["grub-mkstandalone", "-O", "x86_64-efi", "--install-modules", "normal search fat cat echo sleep halt test",
                    "-o", program, f"boot/grub/grub.cfg={tree / 'boot/grub/grub.cfg'}"], check=True, capture_output=True)
    yield guest_image.fat_disk(image, {"EFI/BOOT/BOOTX64.EFI": program, "proof": tree / "proof"})
    image.unlink()
    program.unlink()


@pytest.fixture
def disc(folder, tree):
    image = folder / "disc.iso"
    subprocess.run(["grub-mkrescue", "-o", image, tree], check=True, capture_output=True)
    yield image
    image.unlink()


def started(casement, *options):
    machine = casement("--memory", "256M", "--net", "none", *options)
    machine.wait_serial(PROOF, 600)
    machine.wait_serial("GRUB-IS-DONE")
    assert machine.wait_end() == 0


@pytest.mark.parametrize("bus", ["nvme", *(pytest.param(bus, marks=pytest.mark.long) for bus in ("virtio", "ahci", "usb", "scsi"))])
def test_grub_from_a_disk(casement, disk, bus):
    started(casement, "--disk", f"{disk},bus={bus},readonly")


@pytest.mark.parametrize("bus", ["usb", pytest.param("ahci", marks=pytest.mark.long)])
def test_grub_from_a_disc(casement, disc, bus):
    started(casement, "--cdrom", f"{disc},bus={bus}")
