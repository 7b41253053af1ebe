"""The page of a real machine in Chromium, before a Linux guest that says which keys, places and buttons reached it."""
import os
import re
import subprocess

import guest_image
import pytest

CONNECTED = "#screen[data-state=connected]"
WIDTH, HEIGHT = 1024, 768
LOGICAL = 32768  # places of the tablet along each side
PLACES = [(round(n * 307.3) % WIDTH, round(n * 219.7) % HEIGHT) for n in range(1, 17)]
PLACES += [(0, 0), (WIDTH - 1, 0), (0, HEIGHT - 1), (WIDTH - 1, HEIGHT - 1)]

SCRIPT = f"""
modprobe -a evdev usbhid hid-generic
await() {{
    while :; do
        for e in /sys/class/input/event*; do
            [ "$(cat $e/device/name 2>/dev/null)" = "$1" ] && [ -c /dev/input/${{e##*/}} ] && break 2
        done
        sleep 0.1
    done
    echo /dev/input/${{e##*/}}
}}
for function in /sys/bus/pci/devices/*; do
    if grep -q 0x1234 $function/vendor; then
        echo 1 >$function/enable
        screen-painter $function {WIDTH} {HEIGHT} idle &
    fi
done
input-reader KEYS $(await "Casement USB Keyboard") &
input-reader PLACE $(await "Casement USB Tablet") &
wait-power-button
"""

# Codes of Linux (input-event-codes.h) by the sign that is on the key of a keyboard of the United States.
ROWS = {2: "1234567890-=", 16: "qwertyuiop[]", 30: "asdfghjkl;'`", 43: "\\zxcvbnm,./", 57: " "}
KEY = {sign: code + n for code, signs in ROWS.items() for n, sign in enumerate(signs)}
SHIFTED = dict(zip("!@#$%^&*()_+{}:\"~|<>?", "1234567890-=[];'`\\,./"))
SHIFT, ALTGR, ENTER = 42, 100, 28


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    """Programs for the guest, path to bytes."""
    made = {}
    for name in ("screen-painter", "input-reader"):
        program = tmp_path_factory.mktemp("tools") / name
        subprocess.run([os.environ.get("CC", "cc"), "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program,
                        guest_image.HERE / f"{name}.c"], check=True)
        made[f"/bin/{name}"] = program.read_bytes()
    return made


@pytest.fixture
def linux(casement, initrd, kernel, tools, page_of, open_page):
    """A guest that listens, and its page."""
    machine = casement("--memory", "256M", "--net", "none", "--kernel", kernel.image, "--initrd", initrd(SCRIPT, files=tools),
                       "--append", "console=ttyS0 quiet", "--web", page_of.bind)
    for _ in ("keys", "places", "the power button"):  # in whatever order
        machine.wait_serial("^[A-Z]+-LISTENS")
    page = open_page(page_of(machine))
    page.wait(CONNECTED, seconds=60)
    page.wait_for(f"document.querySelector('#screen canvas').width === {WIDTH}", 60)
    return machine, page


def presses(signs):
    """The codes that a keyboard of the United States sends for a text: (code, shift)."""
    found = []
    for sign in signs:
        plain = SHIFTED.get(sign, sign.lower())
        found.append((ENTER if sign == "\n" else KEY[plain], plain != sign))
    return found


def read_keys(machine, count, seconds=180):
    """
    As many keys as that, pressed and let go, as (code, the modifiers held): modifiers are not counted.
    """
    held, down, keys = set(), None, []
    while len(keys) < count or down or held:
        for code, value in re.findall(r"1/(\d+)=(\d)", machine.wait_serial(r"^KEYS (.*)\r?\n", seconds).group(1)):
            code, pressed = int(code), value != "0"
            if code in (SHIFT, ALTGR):
                (held.add if pressed else held.discard)(code)
            elif pressed:
                assert down is None, f"{code} goes down while {down} is"
                down = code
                keys.append((code, frozenset(held)))
            else:
                assert down == code, f"{code} goes up while {down} is down"
                down = None
    return keys


def paste(page, text, layout):
    page.click("#b-paste")
    page.fill("#paste-text", text)
    page.wait("#paste-layout:enabled")
    page.call("selectOption", layout, selector="#paste-layout")
    page.click("#paste-go")
    page.wait_gone("#d-paste")


def strike(page, *keys):
    """Keys as a browser with a keyboard of another country reports them: (the sign, the key's place)."""
    for kind, order in (("keydown", keys), ("keyup", keys[::-1])):
        for sign, place in order:
            page.run(f"document.querySelector('#screen canvas').dispatchEvent(new KeyboardEvent('{kind}', "
                     f"{{key: '{sign}', code: '{place}', bubbles: true, cancelable: true}}))")


def keys_of(*codes):
    return [(code, frozenset()) for code in codes]


def check_text(machine, page):
    # Two hundred signs, each of them.
    text = "".join(chr(sign) for sign in range(32, 127)) + "0123456789" * 2 + "The quick brown fox jumps over the lazy dog; "
    text = (text + "Sphinx of black quartz, judge my vow!" * 2)[:199] + "\n"
    paste(page, text, "us")
    assert read_keys(machine, 200) == [(code, frozenset({SHIFT} if shift else ())) for code, shift in presses(text)]

    # Pasted with another layout: the keys of that country's keyboard.
    altgr = frozenset({ALTGR})
    paste(page, "zß@y", "de")
    assert read_keys(machine, 4) == keys_of(KEY["y"], KEY["-"]) + [(KEY["q"], altgr)] + keys_of(KEY["z"])
    paste(page, "azé@&", "fr")
    assert read_keys(machine, 5) == keys_of(KEY["q"], KEY["w"], KEY["2"]) + [(KEY["0"], altgr)] + keys_of(KEY["1"])

    # Typed on such keyboards: a key's place counts, so that a guest with the same layout shows the same sign.
    page.call("focus", selector="#screen canvas")
    strike(page, ("z", "KeyY"))
    strike(page, ("ß", "Minus"))
    strike(page, ("AltGraph", "AltRight"), ("@", "KeyQ"))
    strike(page, ("a", "KeyQ"))
    strike(page, ("é", "Digit2"))
    assert read_keys(machine, 5) == keys_of(KEY["y"], KEY["-"]) + [(KEY["q"], altgr)] + keys_of(KEY["q"], KEY["2"])


def point_at(machine, page, x, y, place):
    """Points at the middle of a pixel of the guest's screen; where the guest saw it, in pixels. place: where it was."""
    box = page.run("(({left, top, width, height}) => [left, top, width, height])"
                   "(document.querySelector('#screen canvas').getBoundingClientRect())")
    page.call("mouse.move", box[0] + (x + 0.5) * box[2] / WIDTH, box[1] + (y + 0.5) * box[3] / HEIGHT)
    events = machine.wait_serial(r"^PLACE (.*)\r?\n").group(1)
    for axis, value in re.findall(r"3/([01])=(\d+)", events):
        place[int(axis)] = int(value)
    return place[0] * WIDTH / LOGICAL, place[1] * HEIGHT / LOGICAL


def check_places(machine, page, folder):
    place = [0, 0]
    scales = set()
    for fit, viewport in ((True, (900, 620)), (False, (1280, 900))):
        page.call("setViewportSize", {"width": viewport[0], "height": viewport[1]})
        if (page.run("localStorage.getItem('scale')") != "actual") != fit:
            page.click("#b-scale")
        page.wait_for("(document.querySelector('#screen canvas').getBoundingClientRect().width "
                      f"{'<' if fit else '==='} {WIDTH})")
        scales.add(page.run("document.querySelector('#screen canvas').getBoundingClientRect().width"))
        point_at(machine, page, WIDTH // 2, HEIGHT // 2, place)
        for x, y in PLACES:
            seen = point_at(machine, page, x, y, place)
            assert abs(seen[0] - x) <= 1 and abs(seen[1] - y) <= 1, f"{x},{y} was seen at {seen}"
        page.screenshot(folder / f"page-{viewport[0]}.png")
    assert len(scales) == 2


def test_keys_places_and_the_power_button(linux, folder):
    machine, page = linux
    check_text(machine, page)
    check_places(machine, page, folder)
    for number, name in ((272, "left"), (274, "middle"), (273, "right")):
        page.call("mouse.down", {"button": name})
        page.call("mouse.up", {"button": name})
        assert re.findall(rf"1/{number}=(\d)", machine.wait_serial(r"^PLACE (.*)\r?\n").group(1)) == ["1", "0"]
    assert page.errors() == []
    page.click("#b-power")
    page.click("#m-power >> text=Power button")
    machine.wait_serial("GUEST-PRESSED power button")
    assert machine.guest_status() == 0
    assert machine.wait_end() == 0


# The colour that the guest fills its screen with, in the middle of the lower edge.
DRAWN = f"""(() => {{
    const canvas = document.querySelector('#screen canvas');
    const pixel = canvas.getContext('2d').getImageData({WIDTH // 2}, {HEIGHT - 1}, 1, 1).data;
    return canvas.width === {WIDTH} && pixel[0] === 0x30 && pixel[1] === 0x50 && pixel[2] === 0x70;
}})()"""
PEOPLE = [(width, height, scheme) for width, height in ((390, 844), (1280, 800)) for scheme in ("light", "dark")]


@pytest.mark.long
def test_what_people_see(linux, open_page, page_of, folder):
    """Pictures of a real machine's page to look at: phone and desktop, light and dark; nothing sticks out."""
    machine, _ = linux
    for width, height, scheme in PEOPLE:
        page = open_page(page_of(machine), viewport={"width": width, "height": height}, colorScheme=scheme,
                         hasTouch=width < 500)
        page.wait(CONNECTED, seconds=60)
        page.wait_for(DRAWN, 60)
        page.screenshot(folder / f"{width}-{scheme}.png")
        assert page.run("document.documentElement.scrollWidth") <= width
        assert page.run("document.querySelector('#screen canvas').getBoundingClientRect().width") <= width
    machine.ctl("stop")
    assert machine.wait_end() == 0
