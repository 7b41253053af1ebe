"""The page of a real machine in Chromium: the UEFI shell is seen, takes keys and pasted text, and ends as the page says."""
import ocr
import pytest

CONNECTED = "#screen[data-state=connected]"


@pytest.fixture
def shell(casement, page_of):
    """A machine in the UEFI shell, and where its page is."""
    machine = casement("--memory", "256M", "--net", "none", "--display", "1024x768", "--web", page_of.bind)
    machine.wait_serial("Shell> ", 300)
    return machine, page_of(machine)


def type_keys(page, text):
    """Key by key, with shift where a person holds it; the firmware keeps ten keys, and here it is slower than any typist."""
    for sign in text:
        name = {"\n": "Enter", " ": "Space"}.get(sign, sign)
        page.call("keyboard.press", f"Shift+{name}" if sign.isupper() else name, {"delay": 150})


def test_the_shell_in_a_page(shell, open_page, folder):
    machine, url = shell
    page = open_page(url)
    page.wait(CONNECTED, seconds=60)
    assert "token" not in page.run("location.href")
    page.call("click", selector="#screen canvas")
    type_keys(page, "echo Page-KEYS 4711\n")
    machine.wait_serial(r"Page-KEYS 4711\s*\r?\n")
    picture = folder / "page.png"
    page.screenshot(picture)
    assert "UEFI Interactive Shell" in ocr.text_of(picture)

    # A second viewer joins, the first one comes back after a reload.
    second = open_page(url)
    second.wait(CONNECTED, seconds=60)
    page.call("reload")
    page.wait(CONNECTED, seconds=60)
    assert not [request for request in page.requests() if "127.0.0.1" not in request]

    # Pasted text of 200 signs is typed to its end; its last nine are looked for (the Linux guest looks at each).
    text = "echo " + "".join(f"{n:03}" for n in range(65))
    page.click("#b-paste")
    page.fill("#paste-text", text + "\n")
    page.call("selectOption", "us", selector="#paste-layout")
    page.click("#paste-go")
    page.wait_gone("#d-paste")
    machine.wait_control()
    machine.wait_screen("062063064", 240)

    # Reset, then force off, which asks twice.
    page.click("#b-power")
    page.click("#m-power >> text=Reset…")
    page.click("#d-ask-go")
    machine.wait_serial("UEFI Interactive Shell", 300)
    page.click("#b-power")
    page.click("#m-power >> text=Force off…")
    page.click("#d-ask-go")
    page.wait_for("document.querySelector('#d-ask').open && document.querySelector('#d-ask-go').textContent === 'Force off now'")
    page.click("#d-ask-go")
    assert machine.wait_end() == 0
