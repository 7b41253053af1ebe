"""Debian's unmodified firmware: shell, keyboard, screen, variables that persist, and an installer that it starts."""
import os
import signal
import subprocess
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
LONG = os.environ.get("LONG") == "1"
GUID = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def shell(casement):
    """shell(option, ...): a machine in the UEFI shell."""

    def start(*options, state=None):
        where = ("--state", state) if state else ()
        machine = casement("--memory", "256M", "--net", "none", "--display", "1024x768", *where, *options)
        machine.wait_control()
        machine.wait_serial("Shell> ", 300)
        return machine

    return start


@pytest.mark.parametrize("cpus", [1, 4])
def test_shell_takes_keys_and_shows_them(shell, cpus):
    machine = shell("--cpus", cpus)
    type_slowly(machine, "echo Hello-KEYBOARD 12345\n")
    machine.wait_serial(r"Hello-KEYBOARD 12345")
    screen = machine.wait_screen("(?s)Hello-KEYBOARD.*Hello-KEYBOARD")
    assert "UEFI Interactive Shell" in screen
    assert f"cpus={cpus} " in machine.ctl("status")
    type_slowly(machine, "reset -s\n")
    assert machine.wait_end() == 0


def type_slowly(machine, text):
    """Key by key: the firmware keeps ten, and here it is slower than any typist."""
    for sign in text:
        machine.ctl("type", sign)


def set_variable(machine, value):
    type_slowly(machine, f'setvar Kept -guid {GUID} -bs -rt -nv =S"{value}"\n')
    machine.wait_serial("Shell> ")


def shows_variable(machine, value):
    type_slowly(machine, f"dmpstore Kept -guid {GUID}\n")
    # dmpstore prints the bytes and the letters beside them.
    machine.wait_serial(r"\*" + ".".join(value) + r"\.?\*|" + r"\*[^*\r\n]*" + ".?".join(value))
    machine.wait_serial("Shell> ")


def test_variables_persist(shell, folder):
    state = folder / "kept"
    machine = shell(state=state)
    set_variable(machine, "abc")
    type_slowly(machine, "reset -s\n")
    assert machine.wait_end() == 0
    machine = shell(state=state)
    shows_variable(machine, "abc")
    if not LONG:
        return
    for _ in range(50):
        type_slowly(machine, "reset\n")
        machine.wait_serial("UEFI Interactive Shell", 300)
        machine.wait_serial("Shell> ")
    shows_variable(machine, "abc")
    set_variable(machine, "xyz")
    machine.run.kill()
    machine.run.wait(30)
    # kill -9 left the control socket behind; the next machine takes its place and finds what was written.
    machine = shell(state=state)
    shows_variable(machine, "xyz")
    other = shell(state=folder / "other")
    type_slowly(other, f"dmpstore Kept -guid {GUID}\n")
    other.wait_serial("(?i)no matching variables|not found")


@pytest.mark.long
def test_variables_belong_to_one_machine(shell, casement, folder):
    state = folder / "one"
    shell(state=state)
    second = casement("--memory", "128M", "--net", "none", "--vars", state / "vars.fd")
    assert second.wait_end() == 2
    text = second.log.read_text()
    assert "in use by another machine" in text and text.count("\n") == 1


@pytest.mark.long
def test_signal_ends_the_shell_hard_when_it_does_not_listen(shell):
    machine = shell("--stop-timeout", "1")
    machine.signal(signal.SIGTERM)
    assert machine.wait_end() == 5
    assert "power button" in machine.log.read_text()


def test_installer_reaches_its_first_dialog(casement, folder):
    iso = folder / "installer.iso"
    subprocess.run([TREE / "tools/installer-iso", iso], check=True)
    machine = casement("--memory", "1G", "--display", "1024x768", "--disk", f"{iso},readonly")
    machine.wait_control()
    screen = machine.wait_screen("(?i)select a language|choose the language", 600)
    assert "Deutsch" in screen and "Francais" in screen  # the chosen line, English, is inverted: OCR does not read it
    machine.ctl("stop")
    assert machine.wait_end() == 0
    iso.unlink()
