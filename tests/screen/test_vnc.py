"""A VNC viewer on the plain port sees the firmware's shell and types there."""
from pathlib import Path

import ocr
import pytest
from PIL import Image, ImageChops

TREE = Path(__file__).resolve().parents[2]
PORT = 5917
CODES = {letter: f"{code:x}" for letters, first in (("1234567890", 2), ("qwertyuiop", 0x10), ("asdfghjkl", 0x1E),
                                                     ("zxcvbnm", 0x2C), (" ", 0x39)) for code, letter in
         enumerate(letters, first)}
ENTER = "1c"


@pytest.fixture
def password(folder):
    path = folder / "password"
    path.write_text("tell nobody\n")
    return path


@pytest.fixture
def shell(casement, password):
    machine = casement("--memory", "256M", "--net", "none", "--display", "1024x768", "--name", "seen", "--vnc", PORT,
                       "--vnc-password-file", password)
    machine.wait_serial("Shell> ", 300)
    return machine


@pytest.fixture
def viewer(rig, password):
    """viewer(action, ...): a viewer that does this and leaves; its Run."""

    def look(*actions, password_file=password, check=True):
        return rig.run("/usr/bin/python3", "-B", TREE / "tests/lib/rfb_client.py", "--port", PORT, "--password-file",
                       password_file, *actions, check=check, seconds=200)

    return look


def same_picture(one, other):
    """No pixel differs."""
    pictures = [Image.open(path).convert("RGB") for path in (one, other)]
    return pictures[0].size == pictures[1].size and ImageChops.difference(*pictures).getbbox() is None


def test_sees_and_types(shell, viewer, folder):
    first, last = folder / "first.ppm", folder / "last.ppm"
    assert viewer(f"shot:{first}").stdout == "seen 1024x768\n"
    assert same_picture(first, shell.screenshot())
    assert "UEFI Interactive Shell" in ocr.text_of(first)
    scan = ",".join(CODES[letter] for letter in "echo typed by scan code 987")
    viewer("keys:echo typed by keysym 123", f"scan:{ENTER}", f"scan:{scan},{ENTER}")
    shell.wait_serial(r"typed by keysym 123")
    shell.wait_serial(r"typed by scan code 987")
    shell.wait_serial(r"Shell> ")
    viewer(f"shot:{last}")
    assert same_picture(last, shell.screenshot())
    assert ocr.text_of(last).count("typed by") >= 3  # of four: it does not read every letter right


@pytest.mark.long
def test_only_with_the_password(shell, viewer, folder):
    wrong = folder / "wrong"
    wrong.write_text("tell somebody\n")  # the first eight bytes are others
    refused = viewer(password_file=wrong, check=False)
    assert refused.status == 3 and "wrong password" in refused.stderr
    assert viewer().status == 0
    assert "tell" not in shell.log.read_text()


@pytest.mark.long
def test_port_in_use(shell, casement, password):
    second = casement("--memory", "128M", "--net", "none", "--vnc", PORT, "--vnc-password-file", password)
    assert second.wait_end() == 2
    text = second.log.read_text()
    assert f"--vnc 127.0.0.1:{PORT}" in text and text.count("\n") == 1
