"""How a machine begins again and ends: each way as the list of exit statuses says (docs/options.md)."""
import os
import re
import signal
import time

import pytest

LONG = os.environ.get("LONG") == "1"
REBOOTS = 50 if LONG else 4


@pytest.fixture
def linux(casement, initrd, kernel):
    def start(script, *options, append="", **settings):
        return casement("--memory", "192M", "--net", "none", "--kernel", kernel.image, "--initrd", initrd(script),
                        "--append", f"console=ttyS0 quiet {append}", *options, **settings)

    return start


def wait_until(true, seconds=60):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.long
@pytest.mark.parametrize("method", ["acpi", pytest.param("kbd", marks=pytest.mark.long)])
def test_reboots_leave_nothing_behind(linux, method):
    machine = linux("true", append=f"casement.end=reboot reboot={method}")
    seen = []
    for _ in range(REBOOTS):
        machine.wait_serial("GUEST-STARTED")
        seen.append(machine.resources())
    machine.wait_serial("GUEST-STARTED")
    assert int(re.search(r"resets=(\d+)", machine.ctl("status")).group(1)) >= REBOOTS
    assert seen[-1][:2] == seen[1][:2]
    assert seen[-1][2] <= seen[1][2]
    machine.ctl("stop")
    assert machine.wait_end() == 0


def test_triple_fault_says_where_and_stops(linux):
    machine = linux("true", "--on-triple-fault", "stop", append="casement.end=reboot reboot=triple")
    assert machine.wait_end() == 4
    assert "triple fault; at CS:RIP" in machine.log.read_text()


def test_triple_fault_resets(linux):
    machine = linux("true", append="casement.end=reboot reboot=triple")
    machine.wait_serial("GUEST-STARTED")
    machine.wait_serial("GUEST-STARTED")
    assert "the machine is reset" in machine.log.read_text()


def test_a_reset_may_end_the_machine(linux):
    machine = linux("true", "--on-reset", "stop", append="casement.end=reboot reboot=acpi")
    assert machine.wait_end() == 0


def test_sigterm_presses_the_power_button(linux, rig):
    machine = linux("wait-power-button")
    machine.wait_serial("GUEST-LISTENS")
    machine.signal(signal.SIGTERM)
    assert machine.guest_status() == 0
    assert machine.wait_end() == 0
    # The socket is gone.
    assert rig.shell(f"test ! -e {machine.control}").status == 0


def test_hangup_opens_the_serial_log_anew(linux, rig):
    machine = linux("wait-power-button")
    machine.wait_serial("GUEST-LISTENS")
    moved = machine.serial_log.with_suffix(".1")
    rig.shell(f"mv {machine.serial_log} {moved}")
    machine.signal(signal.SIGHUP)
    wait_until(machine.serial_log.exists)
    machine.ctl("powerdown")
    assert machine.wait_end() == 0
    assert "GUEST-LISTENS" in moved.read_text() and "GUEST-STATUS" not in moved.read_text()
    assert "GUEST-STATUS=0" in machine.serial


def test_a_second_signal_does_not_wait(linux):
    machine = linux("sleep 600")
    machine.wait_serial("GUEST-STARTED")
    machine.signal(signal.SIGINT)
    machine.signal(signal.SIGTERM)
    assert machine.wait_end() == 5
