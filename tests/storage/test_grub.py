"""Firmware starts a GRUB from every kind of disk and drive, and GRUB reads a file there through the firmware."""
import subprocess

import guest_image
import pytest

CONFIG = "terminal_output console\nsearch --file --set=root /proof\ncat /proof\necho GRUB-IS-DONE\nsleep 2\nhalt\n"
PROOF = "this comes from the medium"
MARKED = "terminal_output console\necho GRUB-OF-{}\necho GRUB-IS-DONE\nsleep 2\nhalt\n"


@pytest.fixture
def tree(folder):
    (folder / "tree/boot/grub").mkdir(parents=True)
    (folder / "tree/boot/grub/grub.cfg").write_text(CONFIG)
    (folder / "tree/proof").write_text(PROOF + "\n")
    return folder / "tree"


def standalone(program, config):
    """A GRUB that has its configuration in itself."""
    subprocess.run(["grub-mkstandalone", "-O", "x86_64-efi", "--install-modules", "normal search fat cat echo sleep halt test",
                    "-o", program, f"boot/grub/grub.cfg={config}"], check=True, capture_output=True)


@pytest.fixture
def disk(folder, tree):
    program, image = folder / "grub.efi", folder / "disk"
    standalone(program, tree / "boot/grub/grub.cfg")
    yield guest_image.fat_disk(image, {"EFI/BOOT/BOOTX64.EFI": program, "proof": tree / "proof"})
    image.unlink()
    program.unlink()


@pytest.fixture
def marked(folder):
    """marked(mark): a disk whose GRUB says that mark, and looks at no other disk."""
    made = []

    def make(mark):
        config, program, image = folder / f"{mark}.cfg", folder / f"{mark}.efi", folder / mark
        config.write_text(MARKED.format(mark))
        standalone(program, config)
        made.extend([program, guest_image.fat_disk(image, {"EFI/BOOT/BOOTX64.EFI": program})])
        return image

    yield make
    for path in made:
        path.unlink()


@pytest.fixture
def disc(folder, tree):
    image = folder / "disc.iso"
    subprocess.run(["grub-mkrescue", "-o", image, tree], check=True, capture_output=True)
    yield image
    image.unlink()


def started(casement, *options, proof=PROOF):
    machine = casement("--memory", "256M", "--net", "none", *options)
    machine.wait_serial(proof, 600)
    machine.wait_serial("GRUB-IS-DONE")
    assert machine.wait_end() == 0
    return machine


@pytest.mark.parametrize("bus", ["nvme", *(pytest.param(bus, marks=pytest.mark.long) for bus in ("virtio", "ahci", "usb", "scsi"))])
def test_grub_from_a_disk(casement, disk, bus):
    started(casement, "--disk", f"{disk},bus={bus},readonly")


@pytest.mark.parametrize("bus", ["usb", pytest.param("ahci", marks=pytest.mark.long)])
def test_grub_from_a_disc(casement, disc, bus):
    started(casement, "--cdrom", f"{disc},bus={bus}")


# AHCI is the last function of the bus whichever disk is named first: who goes by slots starts the same disk in both orders.
@pytest.mark.parametrize("first, second", [("ahci", "virtio"), pytest.param("virtio", "ahci", marks=pytest.mark.long)])
def test_grub_from_the_first_of_two_disks(casement, marked, first, second):
    disks = [word for bus in (first, second) for word in ("--disk", f"{marked(bus)},bus={bus},readonly")]
    machine = started(casement, *disks, proof=f"GRUB-OF-{first}")
    assert f"GRUB-OF-{second}" not in machine.serial


@pytest.mark.long
def test_grub_from_a_disc_behind_an_empty_disk(casement, image, disc):
    started(casement, "--disk", f"{image(16)},bus=nvme", "--cdrom", f"{disc},bus=usb")
