"""The xHCI controller with its keyboard and tablet, driven by Debian's kernel and by Debian's firmware."""
import json
import os
import re
import subprocess
import time

import guest_image
import pytest

# Names of keys, and what Linux calls them.
KEYS = {name: name.upper() for name in [*"abcdefghijklmnopqrstuvwxyz0123456789", "enter", "esc", "tab", "space", "backspace", "delete",
                                        "insert", "home", "end", "pageup", "pagedown", "up", "down", "left", "right",
                                        "capslock", "numlock", "scrolllock", "pause", *(f"f{n}" for n in range(1, 13))]}
KEYS |= {"minus": "MINUS", "=": "EQUAL", "[": "LEFTBRACE", "]": "RIGHTBRACE", "\\": "BACKSLASH", ";": "SEMICOLON",
         "'": "APOSTROPHE", "`": "GRAVE", ",": "COMMA", ".": "DOT", "/": "SLASH", "ctrl": "LEFTCTRL", "alt": "LEFTALT",
         "shift": "LEFTSHIFT", "win": "LEFTMETA", "rightctrl": "RIGHTCTRL", "altgr": "RIGHTALT", "rightshift": "RIGHTSHIFT",
         "menu": "COMPOSE", "print": "SYSRQ", "rightwin": "RIGHTMETA", "102nd": "102ND", "kpdot": "KPDOT", "kpenter": "KPENTER",
         "kpplus": "KPPLUS", "kpminus": "KPMINUS", "kpmultiply": "KPASTERISK", "kpdivide": "KPSLASH"}
KEYS |= {f"kp{n}": f"KP{n}" for n in range(10)}
BUTTONS = {1: "LEFT", 2: "RIGHT", 4: "MIDDLE", 8: "SIDE", 16: "EXTRA"}
POINTER_EVENTS = 10000

START = """
modprobe -a evdev usbhid hid-generic
node() { for e in /sys/class/input/event*; do [ "$(cat $e/device/name 2>/dev/null)" = "$1" ] && echo /dev/input/${e##*/}; done; }
await() { until [ -c "$(node "$1")" ]; do sleep 0.1; done; node "$1"; }
"""

# Calls of the API over the control socket, one a line: method, path, JSON; one line answers. A queue that is full is
# asked again. It stays, because to start it takes longer than all that it does.
CALLS = """
import http.client, json, socket, sys, time
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[1])
connection = Connection("localhost")
for line in sys.stdin:
    method, path, body = line.rstrip("\\n").split(" ", 2)
    end = time.monotonic() + 60
    while True:
        connection.request(method, path, body or None, {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        text = answer.read().decode()
        if "full" not in text or time.monotonic() > end:
            break
        time.sleep(0.01)
    print(json.dumps([answer.status, text]), flush=True)
"""


class Api:
    """The API of a machine, called from inside the rig."""

    def __init__(self, machine):
        self.answers = b""
        self.run = machine.rig.launch("python3", "-c", CALLS, machine.control, seconds=600, on_output=self._take)

    def _take(self, _, data):
        self.answers += data

    def call(self, *calls, seconds=300):
        """Each is (method, path) or (method, path, object). What the last one answered."""
        wanted = self.answers.count(b"\n") + len(calls)
        self.run.input("".join(f"{method} {path} {json.dumps(body[0]) if body else ''}\n"
                               for method, path, *body in calls).encode())
        end = time.monotonic() + seconds
        while self.answers.count(b"\n") < wanted:
            assert self.run.status is None and time.monotonic() < end, self.answers[-2000:].decode()
            time.sleep(0.05)
        answers = [json.loads(line) for line in self.answers.decode().splitlines()[-len(calls):]]
        bad = [answer for answer in answers if answer[0] >= 400]
        assert not bad, bad[0]
        return answers[-1][1]


def call(machine, *calls):
    if not hasattr(machine, "api"):
        machine.api = Api(machine)
    return machine.api.call(*calls)


def press(*names):
    return [("POST", "/api/v1/input/keys", {"keys": name}) for name in names]


def point(x, y, buttons=0, wheel=0, pan=0):
    return ("POST", "/api/v1/input/pointer", {"x": x, "y": y, "buttons": buttons, "wheel": wheel, "pan": pan})


def plug(name, plugged=True):
    return ("POST", f"/api/v1/usb/{name}/{'plug' if plugged else 'unplug'}")


def usb(machine):
    """The devices by name."""
    return {device["name"]: device for device in json.loads(call(machine, ("GET", "/api/v1/usb")))}


def wait_driven(machine, name, seconds=60):
    """Until the guest waits for what the device has to say."""
    end = time.monotonic() + seconds
    while not usb(machine)[name]["driven"]:
        assert time.monotonic() < end, f"the guest does not ask the {name}"
        time.sleep(0.1)


def type_slowly(machine, text):
    """Key by key: the firmware keeps few, and here it is slower than any typist."""
    for sign in text:
        machine.ctl("type", sign)


@pytest.fixture
def linux(casement, initrd, kernel):
    """linux(script, option, ...): a machine whose guest has loaded its USB drivers and runs the script."""

    def start(script, *options, files=None, **settings):
        return casement("--memory", "256M", "--net", "none", "--kernel", kernel.image, "--initrd",
                        initrd(START + script, ("evtest",), files), "--append", "console=ttyS0 quiet", *options, **settings)

    return start


def events_of(serial):
    """What evtest has seen: (code, value) of keys, axes and wheels, in order."""
    return [(code, int(value)) for code, value in
            re.findall(r"^Event: .* code \d+ \(((?:KEY|BTN|ABS|REL)_\w+)\), value (-?\d+)\r?$", serial, re.MULTILINE)]


# Every event of every keyboard, whichever comes.
LISTEN = """
evtest $(node "AT Translated Set 2 keyboard") &
while :; do evtest $(await "Casement USB %s"); echo USB-GONE; done
"""


def wait_listeners(machine, count=1):
    for _ in range(count):
        machine.wait_serial(r"^Testing")


def test_each_key_arrives_once(linux):
    machine = linux(LISTEN % "Keyboard")
    wait_listeners(machine, 2)
    names = list(KEYS)
    for first in range(0, len(names), 5):  # the kernel keeps few for a reader that is slow to print them
        batch = names[first:first + 5]
        call(machine, *press(*batch))
        machine.wait_serial(rf"KEY_{KEYS[batch[-1]]}\), value 0")
    # 2: the kernel repeats a key whose release its slow machine has not looked at yet.
    events = [event for event in events_of(machine.serial) if event[1] != 2]
    assert events == [(f"KEY_{KEYS[name]}", value) for name in names for value in (1, 0)]
    machine.ctl("stop")
    assert machine.wait_end() == 0


@pytest.mark.long
def test_each_button_axis_and_wheel(linux):
    machine = linux(LISTEN % "Tablet")
    wait_listeners(machine, 2)
    calls, expected = [point(5, 5)], [("ABS_X", 5), ("ABS_Y", 5)]
    for button, name in BUTTONS.items():
        calls += [point(5, 5, button), point(5, 5)]
        expected += [(f"BTN_{name}", 1), (f"BTN_{name}", 0)]
    for wheel, pan in ((1, 0), (-2, 0), (0, 1), (0, -3)):
        name, value = ("REL_WHEEL", wheel) if wheel else ("REL_HWHEEL", pan)
        calls.append(point(5, 5, 0, wheel, pan))
        expected += [(name, value), (f"{name}_HI_RES", value * 120)]
    calls.append(point(32767, 32767))
    expected += [("ABS_X", 32767), ("ABS_Y", 32767)]
    call(machine, *calls)
    machine.wait_serial(r"ABS_Y\), value 32767")
    assert events_of(machine.serial) == expected
    machine.ctl("stop")
    assert machine.wait_end() == 0


@pytest.mark.long
def test_ten_thousand_pointer_events(linux, tmp_path):
    reader = tmp_path / "pointer-reader"
    subprocess.run([os.environ.get("CC", "cc"), "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-o", reader,
                    guest_image.HERE / "pointer-reader.c"], check=True)
    machine = linux(f'/pointer-reader $(await "Casement USB Tablet") {POINTER_EVENTS}',
                    files={"/pointer-reader": reader.read_bytes()})
    machine.wait_serial("POINTER-LISTENS")
    wait_driven(machine, "tablet")
    call(machine, *(point(n, 32767 - n, n % 2) for n in range(1, POINTER_EVENTS + 1)))
    assert machine.wait_serial(r"POINTER (count=.*\d)[\r\n]").group(1) == f"count={POINTER_EVENTS} wrong=0 dropped=0"
    assert machine.guest_status() == 0


@pytest.mark.long
def test_unplugged_and_plugged_while_typing(linux):
    """Whichever keyboard has them, all keys come, in their order."""
    machine = linux(LISTEN % "Keyboard")
    wait_listeners(machine, 2)
    letters = "abcdefghijklmnopqrstuvwxyz"
    for n, letter in enumerate(letters):
        call(machine, *press(letter))
        machine.wait_serial(rf"KEY_{letter.upper()}\), value 0")  # what a keyboard has not sent goes with it
        if n % 6 == 2:
            call(machine, plug("keyboard", False))
            machine.wait_serial("USB-GONE")
        if n % 6 == 5:
            call(machine, plug("keyboard"))
            wait_listeners(machine)
    assert events_of(machine.serial) == [(f"KEY_{letter.upper()}", value) for letter in letters for value in (1, 0)]
    machine.ctl("stop")
    assert machine.wait_end() == 0


@pytest.fixture
def disk(rig):
    """An empty disk in the rig's memory: with one there is a boot order."""
    path = rig.shell("f=$(mktemp /tmp/disk.XXXXXX); truncate -s 16M $f; echo $f").stdout.strip()
    yield path
    rig.shell(f"rm -f {path}")


@pytest.mark.parametrize("boot_order", [False, pytest.param(True, marks=pytest.mark.long)])
def test_firmware_takes_keys(casement, disk, boot_order):
    machine = casement("--memory", "256M", "--net", "none", *(("--disk", disk) if boot_order else ()))
    machine.wait_control()
    machine.wait_serial("Shell> ", 300)
    wait_driven(machine, "keyboard")
    type_slowly(machine, "echo Keys-of-USB 123\n")
    machine.wait_serial(r"Keys-of-USB 123\r?\n")  # while it is typed, each sign moves the cursor first
    call(machine, plug("keyboard", False))
    type_slowly(machine, "echo Keys-of-PS2 456\n")
    machine.wait_serial(r"Keys-of-PS2 456\r?\n")
    call(machine, plug("keyboard"))
    wait_driven(machine, "keyboard")
    type_slowly(machine, "reset -s\n")
    assert machine.wait_end() == 0
