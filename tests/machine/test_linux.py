"""Debian's unmodified kernel, started directly and by firmware."""
import shutil

import guest_image
import pytest

FIRMWARE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
VARS = "/usr/share/OVMF/OVMF_VARS_4M.fd"
APPEND = "console=ttyS0 quiet"


@pytest.fixture
def linux(casement, initrd, kernel):
    """linux(script, option, ...): a machine whose guest runs the script."""

    def start(script, *options, append=APPEND, memory="256M", **settings):
        return casement("--memory", memory, "--kernel", kernel.image, "--initrd", initrd(script), "--append", append,
                        *options, **settings)

    return start


def test_runs_a_script_and_powers_off(linux):
    machine = linux("exit 5\n")
    assert machine.guest_status() == 5
    assert machine.wait_end() == 0


@pytest.mark.long
def test_processors_and_memory(linux):
    machine = linux("nproc; sed -n 's/MemTotal: *\\([0-9]*\\) kB/memory \\1/p' /proc/meminfo", "--cpus", "2",
                    memory="512M")
    assert machine.wait_serial(r"^(\d+)\r?$").group(1) == "2"
    assert 400 << 10 < int(machine.wait_serial(r"^memory (\d+)\s").group(1)) < 512 << 10
    assert machine.guest_status() == 0


@pytest.mark.long
def test_power_button(linux):
    machine = linux("wait-power-button")
    machine.wait_serial("GUEST-LISTENS")
    machine.ctl("powerdown")
    assert machine.guest_status() == 0
    assert machine.wait_end() == 0


@pytest.mark.long
def test_reset_starts_again(linux):
    machine = linux("sleep 600")
    machine.wait_serial("GUEST-STARTED")
    machine.ctl("reset")
    machine.wait_serial("GUEST-STARTED")
    machine.ctl("stop")
    assert machine.wait_end() == 0


def test_firmware_starts_a_disk(casement, initrd, folder):
    variables = shutil.copy(VARS, folder / "vars.fd")
    disk = guest_image.boot_disk(folder / "disk", initrd("ls /sys/firmware/efi/efivars | grep -c Boot0\n"), APPEND)
    machine = casement("--memory", "512M", "--firmware", FIRMWARE, "--vars", variables, "--disk", f"{disk},readonly")
    assert machine.guest_status(400) == 0
    assert machine.wait_end() == 0
    disk.unlink()
