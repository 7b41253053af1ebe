"""The images for guests are well-formed. That they boot is what the machine's own tests show."""
import subprocess

import guest_image


def test_initrd_holds_what_it_should(initrd):
    archive = initrd("exit 3\n", files={"/etc/note": b"x"})
    for expected in ("init", "bin/busybox", "bin/sh", "usr/bin/acpidump"):
        assert expected in _names(archive.read_bytes())
    assert "run.sh" in _names(archive.read_bytes()[len((guest_image.BUILD / "base.cpio").read_bytes()):])


def test_layers_are_kept(initrd):
    initrd("true\n")
    made = (guest_image.BUILD / "base.cpio").stat().st_mtime_ns
    initrd("false\n")
    assert (guest_image.BUILD / "base.cpio").stat().st_mtime_ns == made


def test_disk_starts_by_itself(initrd, folder):
    disk = guest_image.boot_disk(folder / "disk", initrd("true\n"), "console=ttyS0")
    listing = subprocess.run(["mdir", "-i", disk, "::/EFI/BOOT"], check=True, capture_output=True, text=True).stdout
    assert "BOOTX64" in listing
    disk.unlink()


def _names(archive):
    return subprocess.run(["cpio", "-t", "--quiet"], input=archive, check=True, capture_output=True).stdout.decode().split()
