"""
`browser`: one Chromium for all tests. `fake`: fake(...) starts a machine that is none. `open_page`: opens a page.
`page_of`: where the page of a real machine is.
"""
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))
from browser import Browser  # noqa: E402
from fake import Machine  # noqa: E402


@pytest.fixture(scope="session")
def browser():
    started = Browser()
    yield started
    started.close()


@pytest.fixture
def fake():
    """fake(width, height, locked): a Machine."""
    made = []

    def make(width=800, height=600, **options):
        made.append(Machine(Image.new("RGB", (width, height), (40, 90, 140)), **options))
        return made[-1]

    yield make
    for machine in made:
        machine.close()


class PageOf:
    """page_of(machine): the address of its page for a browser on this host, token included; it was told --web page_of.bind."""

    inside = 8006
    bind = f"0.0.0.0:{inside}"

    def __call__(self, machine):
        outside = os.environ["RIG_FORWARDS"].split(":")[0] if machine.rig.machine.folder else self.inside
        token = (machine.folder / "state/web-token").read_text().strip()
        return f"http://127.0.0.1:{outside}/?token={token}"


@pytest.fixture
def page_of():
    return PageOf()


@pytest.fixture
def open_page(browser):
    """open_page(url, **options): a page with cookies of its own, closed at the end."""
    made = []

    def make(url, **options):
        page = browser.open(**{"viewport": {"width": 1280, "height": 800}, **options})
        made.append(page)
        page.call("goto", url)
        return page

    yield make
    for page in made:
        page.close()
