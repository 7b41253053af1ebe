"""The page by itself, before a machine that is none (fake.py): what a person can do with it, in Chromium."""
from urllib.parse import urlsplit

import pytest

CONNECTED = "#screen[data-state=connected]"
CTRL, ALT, SHIFT = 0xFFE3, 0xFFE9, 0xFFE1


def posts(machine):
    return [(path, body) for method, path, body in machine.calls if method == "POST"]


def connected(open_page, machine, **options):
    page = open_page(machine.url, **options)
    page.wait(CONNECTED)
    return page


def focused(page):
    return page.run("document.activeElement.id || document.activeElement.tagName")


def test_status_and_screen(fake, open_page):
    machine = fake()
    page = connected(open_page, machine)
    assert page.text("#name") == "winter"
    assert page.text("#phase") == "Running"
    page.wait_for("document.querySelector('#f-cpu').textContent === '23 %'")
    assert page.text("#f-memory") == "1.8 GiB of 4 GiB"
    assert page.text("#f-screen") == "800 × 600"
    assert page.text("#f-uptime") == "2 h 3 min"
    machine.status["usage"]["cpu_percent"] = 99.7
    machine.status["phase"] = "stopping"
    page.wait_for("document.querySelector('#f-cpu').textContent === '100 %'")
    assert page.text("#phase") == "Stopping"
    # The picture is there: noVNC draws it a moment after the connection.
    page.wait_for("""(() => {
        const canvas = document.querySelector('#screen canvas');
        const pixel = canvas.getContext('2d').getImageData(400, 300, 1, 1).data;
        return canvas.width === 800 && pixel[0] === 40 && pixel[1] === 90 && pixel[2] === 140;
    })()""")
    assert page.errors() == []
    own = urlsplit(machine.url).netloc
    assert {urlsplit(url).netloc for url in page.requests()} == {own}


def test_login(fake, open_page):
    machine = fake(locked=True)
    page = open_page(machine.url)
    page.wait("#login")
    assert focused(page) == "secret"
    assert not page.visible(".tools")
    page.fill("#secret", "wrong")
    page.press("Enter")
    page.wait("#login-error:not(:empty)")
    assert "not the token" in page.text("#login-error")
    page.fill("#secret", "open sesame")
    page.press("Enter")
    page.wait(CONNECTED)
    assert not page.visible("#login")
    page.click("#b-out")
    page.wait("#login")
    assert page.call("inputValue", selector="#secret") == ""


def test_progress_before_there_is_a_screen(fake, open_page):
    machine = fake()
    display, machine.status["display"] = machine.status["display"], None
    machine.status.update(phase="starting", progress={
        "title": "Downloading", "done": 1500000000, "total": 6000000000, "unit": "bytes",
        "per_second": 15800000, "seconds_left": 95})
    page = open_page(machine.url)
    page.wait("#cover-progress")
    assert page.text("#cover-title") == "Downloading"
    assert page.text("#cover-done") == "1.5 GB of 6.0 GB at 16 MB/s"
    assert page.text("#cover-left") == "1 min 35 s left"
    assert page.run("document.querySelector('#cover-bar').value") == pytest.approx(0.25)
    assert page.run("document.querySelector('#b-paste').disabled")
    machine.status["progress"].update(total=0, seconds_left=None)
    page.wait_for("document.querySelector('#cover-bar').position === -1")
    machine.status.update(phase="running", progress=None, display=display)
    page.wait(CONNECTED)
    page.wait("#cover", "hidden")


def test_power(fake, open_page):
    machine = fake()
    page = connected(open_page, machine)

    def choose(item):
        page.click("#b-power")
        page.click(f"#m-power >> text={item}")

    choose("Power button")
    machine.wait(lambda: ("power/button", {}) in posts(machine))
    choose("Reset…")
    page.click("#d-ask >> text=Cancel")
    choose("Reset…")
    page.click("#d-ask-go")
    machine.wait(lambda: ("power/reset", {}) in posts(machine))
    # Asked twice, and each no is one.
    choose("Force off…")
    page.press("Escape")
    choose("Force off…")
    page.click("#d-ask-go")
    page.wait_for("document.querySelector('#d-ask-title').textContent.startsWith('Really')")
    page.click("#d-ask >> text=Cancel")
    choose("Force off…")
    page.click("#d-ask-go")
    page.wait_for("document.querySelector('#d-ask').open && document.querySelector('#d-ask-go').textContent === 'Force off now'")
    assert [path for path, _ in posts(machine)] == ["power/button", "power/reset"]
    page.click("#d-ask-go")
    machine.wait(lambda: ("power/off", {}) in posts(machine))


def test_chords(fake, open_page):
    machine = fake()
    page = connected(open_page, machine)
    page.click("#b-keys")
    page.click("#m-keys >> text=Ctrl+Alt+Del")
    machine.wait(lambda: ("input/keys", {"keys": "ctrl-alt-delete"}) in posts(machine))
    page.wait_for("document.activeElement.tagName === 'CANVAS'")
    machine.failures["input/keys"] = (503, "the guest has not taken what was typed before")
    page.click("#b-keys")
    page.click("#m-keys >> text=Alt+F4")
    page.wait("#toast.bad.shown")
    assert "has not taken" in page.text("#toast")


def test_paste(fake, open_page):
    machine = fake()
    page = connected(open_page, machine)
    page.click("#b-paste")
    page.wait_for("document.querySelector('#paste-layout').value === 'de'")
    page.fill("#paste-text", "Grüße\n")
    page.call("selectOption", "fr", selector="#paste-layout")
    page.click("#paste-go")
    page.wait("#d-paste", "hidden")
    assert posts(machine) == [("input/text", {"text": "Grüße\n", "layout": "fr"})]
    # The choice stays; long text goes in parts of whole signs.
    page.click("#b-paste")
    page.wait_for("document.querySelector('#paste-layout').value === 'fr'")
    text = "😀ä" * 500
    page.fill("#paste-text", text)
    page.call("press", "Control+Enter", selector="#paste-text")
    page.wait("#d-paste", "hidden")
    parts = [body["text"] for _, body in posts(machine)[1:]]
    assert len(parts) == 3 and "".join(parts) == text
    # What cannot be typed is said, and the text stays.
    machine.failures["input/text"] = (400, 'no key of the layout fr makes "☃"')
    page.click("#b-paste")
    page.fill("#paste-text", "☃")
    page.click("#paste-go")
    page.wait("#paste-error:not(:empty)")
    assert "☃" in page.text("#paste-error")
    assert page.call("inputValue", selector="#paste-text") == "☃"
    # A queue that is full is waited for.
    machine.failures["input/text"] = (503, "later")
    page.click("#paste-go")
    count = len(posts(machine))
    machine.wait(lambda: len(posts(machine)) >= count + 2)
    del machine.failures["input/text"]
    page.wait("#d-paste", "hidden")


def test_keys_go_to_the_machine_and_a_chord_leaves_it(fake, open_page):
    machine = fake()
    page = connected(open_page, machine)
    page.call("click", selector="#screen canvas")
    page.press("a")
    page.press("Tab")
    machine.wait(lambda: (0xFF09, False) in machine.keys)
    assert machine.keys == [(0x61, True), (0x61, False), (0xFF09, True), (0xFF09, False)]
    assert focused(page) == "CANVAS"
    for key in ("Control", "Alt", "Shift"):
        page.call("keyboard.down", key)
    page.wait_for("document.activeElement.id === 'b-keys'")
    for key in ("Control", "Alt", "Shift"):
        page.call("keyboard.up", key)
    # Nothing stays pressed in the machine.
    machine.wait(lambda: {(CTRL, False), (ALT, False)} <= set(machine.keys))
    down = set()
    for keysym, pressed in machine.keys:
        (down.add if pressed else down.discard)(keysym)
    assert down == set()
    count = len(machine.keys)
    page.press("b")
    page.click("#screen canvas")
    page.press("c")
    machine.wait(lambda: (0x63, False) in machine.keys)
    assert machine.keys[count:] == [(0x63, True), (0x63, False)]


def test_by_keyboard_alone(fake, open_page):
    """From the screen to each tool and through menu and dialog, without the mouse."""
    machine = fake()
    page = connected(open_page, machine)
    page.wait_for("document.activeElement.tagName === 'CANVAS'")  # the screen has the keyboard at once
    page.press("Control+Alt+Shift")
    seen = []
    for _ in range(12):
        seen.append(focused(page))
        assert page.run("document.activeElement.matches(':focus-visible')")
        page.press("Tab")
    assert seen[:7] == ["b-keys", "b-paste", "b-scale", "b-full", "b-shot", "b-power", "b-out"]
    page.call("focus", selector="#b-power")
    page.press("Enter")
    page.wait("#m-power")
    page.press("End")
    page.press("ArrowUp")
    assert page.run("document.activeElement.textContent") == "Reset…"
    page.press("Enter")
    page.wait("#d-ask")
    page.press("Tab")
    page.press("Enter")
    machine.wait(lambda: ("power/reset", {}) in posts(machine))
    page.call("focus", selector="#b-keys")
    page.press("Space")
    page.wait("#m-keys")
    page.press("Escape")
    page.wait("#m-keys", "hidden")
    assert focused(page) == "b-keys"


@pytest.mark.parametrize("width,height,fit", [(800, 600, True), (1024, 768, True), (1600, 900, False), (1920, 1080, True)])
def test_pointer_is_where_it_is(fake, open_page, width, height, fit):
    machine = fake(width, height)
    page = connected(open_page, machine)
    if not fit:
        page.click("#b-scale")
    box = page.call("boundingBox", selector="#screen canvas")
    scale = box["width"] / width
    assert fit or scale == 1
    stage = page.call("boundingBox", selector="#screen")
    for n in range(20):
        at = (int(box["x"] + box["width"] * (n * 7 % 20 + 0.5) / 20),
              int(box["y"] + box["height"] * (n * 3 % 20 + 0.5) / 20))
        x, y = (at[0] - box["x"]) / scale, (at[1] - box["y"]) / scale
        if at[0] >= stage["x"] + stage["width"] - 16 or at[1] >= stage["y"] + stage["height"] - 16:
            continue  # scrolled out of sight at actual size
        count = len(machine.pointers)
        page.call("mouse.move", *at)
        machine.wait(lambda: len(machine.pointers) > count)
        buttons, seen_x, seen_y = machine.pointers[-1]
        assert buttons == 0
        assert abs(seen_x - x) <= 1 and abs(seen_y - y) <= 1, (n, x, y, seen_x, seen_y)


def test_screen_comes_back(fake, open_page):
    machine = fake()
    page = connected(open_page, machine)
    machine.drop_viewers()
    page.wait_for("document.querySelector('#screen').dataset.state !== 'connected'")
    page.wait(CONNECTED)
    # The whole machine is away, and back.
    machine.down = True
    machine.drop_viewers()
    page.wait("#cover-action")
    assert page.text("#cover-title") == "Not connected"
    assert page.run("document.querySelector('#b-power').disabled")
    machine.down = False
    page.wait(CONNECTED)
    page.wait("#cover", "hidden")
    page.call("reload")
    page.wait(CONNECTED)
    second = connected(open_page, machine)
    machine.wait(lambda: len(machine.rfb_viewers) == 2)
    assert second.text("#name") == "winter"
    assert page.visible(CONNECTED)


def test_screenshot(fake, open_page):
    machine = fake()
    page = connected(open_page, machine)
    saved = page.call("download", selector="#b-shot")
    assert saved["name"].startswith("winter-20") and saved["name"].endswith(".png")
    with open(saved["path"], "rb") as file:
        assert file.read() == b"\x89PNG fake"
    machine.failures["screenshot.png"] = (409, "no display")
    page.click("#b-shot")
    page.wait("#toast.bad.shown")


PHONE = {"viewport": {"width": 360, "height": 740}, "hasTouch": True, "isMobile": True}


def test_touch_keyboard(fake, open_page):
    machine = fake()
    page = connected(open_page, machine, **PHONE)
    page.click("#b-touch")
    page.wait("#keybar")
    assert focused(page) == "touch-field"
    page.call("keyboard.insertText", "hé")
    page.press("Backspace")
    page.press("Enter")
    page.click("#keybar >> text=Ctrl")
    assert focused(page) == "touch-field"  # the device's keyboard stays
    page.call("keyboard.insertText", "c")
    page.click("#keybar >> text=Esc")
    machine.wait(lambda: (0xFF1B, False) in machine.keys)

    def tap(keysym):
        return [(keysym, True), (keysym, False)]

    assert machine.keys == [*tap(0x68), *tap(0xE9), *tap(0xFF08), *tap(0xFF0D), (CTRL, True), *tap(0x63), (CTRL, False),
                            *tap(0xFF1B)]
    page.click("#b-touch")
    page.wait("#keybar", "hidden")
    assert focused(page) != "touch-field"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width,height", [(360, 740), (1280, 800), (1920, 1080)])
def test_fits_and_can_be_read(fake, open_page, folder, width, height, scheme):
    """No sideways scrolling, every tool in sight, contrast of text as WCAG 2.2 wants it (1.4.3)."""
    machine = fake()
    options = PHONE if width < 640 else {}
    page = connected(open_page, machine, **{**options, "viewport": {"width": width, "height": height}, "colorScheme": scheme})
    page.screenshot(folder / "page.png")
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("""[...document.querySelectorAll('.tool')].filter((tool) => tool.offsetParent).every((tool) => {
        const box = tool.getBoundingClientRect();
        return box.left >= 0 && box.right <= innerWidth && box.width >= 24 && tool.getAttribute('aria-label');
    })""")
    assert page.run(CONTRAST) >= 4.5


@pytest.mark.parametrize("width,height", [(360, 740), (1280, 800)])
def test_a_paused_machine_says_what_it_waits_for(fake, open_page, folder, width, height):
    """In sight and whole, however narrow the page is."""
    machine = fake()
    machine.status |= {"phase": "paused", "waits_for": "space on the host for disk0, disk1"}
    page = connected(open_page, machine, **{**(PHONE if width < 640 else {}), "viewport": {"width": width, "height": height}})
    assert page.text("#phase") == "Paused: waits for space on the host for disk0, disk1"
    page.screenshot(folder / "page.png")
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("""[...document.querySelectorAll('.tool, .phase')].filter((part) => part.offsetParent).every((part) => {
        const box = part.getBoundingClientRect();
        return box.left >= 0 && box.right <= innerWidth;
    })""")
    assert page.run("(() => { const text = document.querySelector('#phase-text'); return text.getBoundingClientRect().right <= innerWidth; })()")
    assert page.run(CONTRAST) >= 4.5
    machine.status |= {"phase": "running", "waits_for": None}
    page.wait_for("document.querySelector('#phase').innerText === 'Running'")


# The least contrast of the texts in bar and strip: WCAG 2.2's relative luminance.
CONTRAST = """(() => {
    const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const luminance = (colour) => numbers(colour).slice(0, 3)
        .map((value) => value / 255).map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        .reduce((sum, value, n) => sum + value * [0.2126, 0.7152, 0.0722][n], 0);
    const ground = (element) => {
        const colour = getComputedStyle(element).backgroundColor;
        return numbers(colour)[3] === 0 ? ground(element.parentElement) : colour;
    };
    return Math.min(...[...document.querySelectorAll('.bar h1, .phase, .fact b, .fact span')]
        .filter((element) => element.offsetParent && element.textContent.trim())
        .map((element) => [luminance(getComputedStyle(element).color), luminance(ground(element))].sort((a, b) => b - a))
        .map(([light, dark]) => (light + 0.05) / (dark + 0.05)));
})()"""
