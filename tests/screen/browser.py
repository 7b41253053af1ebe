"""Chromium as a test sees it: pages by name, driven through driver.mjs."""
import json
import os
import subprocess
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ANSWER_SECONDS = 90  # playwright's own limits are 30


class BrowserError(AssertionError):
    pass


class Page:
    """
    page.call("click", selector="#b-power"), page.call("keyboard.press", "Tab"): the methods of playwright's Page, Locator,
    Keyboard and Mouse, with their arguments as JSON.
    """

    def __init__(self, browser, name):
        self.browser = browser
        self.name = name

    def call(self, call, *values, selector=None):
        return self.browser.ask({"on": self.name, "selector": selector, "call": call, "with": list(values)})

    def click(self, selector, **options):
        self.call("click", options, selector=selector)

    def fill(self, selector, text):
        self.call("fill", text, selector=selector)

    def press(self, key):
        self.call("keyboard.press", key)

    def text(self, selector):
        return self.call("innerText", selector=selector)

    def visible(self, selector):
        return self.call("isVisible", selector=selector)

    def wait(self, selector, state="visible", seconds=30):
        self.call("waitFor", {"state": state, "timeout": seconds * 1000}, selector=selector)

    def wait_gone(self, selector, seconds=300):
        """Until the selector shows nothing, for longer than one answer of the driver may take."""
        deadline = time.monotonic() + seconds
        while self.visible(selector):
            assert time.monotonic() < deadline, f"{selector} is still there after {seconds} seconds"
            time.sleep(0.1)

    def run(self, expression):
        return self.call("evaluate", expression)

    def wait_for(self, expression, seconds=30):
        """Until the JavaScript expression is true in the page."""
        self.call("waitUntil", expression, seconds * 1000)

    def screenshot(self, path):
        self.call("screenshot", {"path": str(path)})

    def errors(self):
        return self.call("errors")

    def requests(self):
        return self.call("requests")

    def close(self):
        self.call("closePage")


class Browser:
    def __init__(self):
        environment = dict(os.environ, NODE_PATH=str(HERE.parent / "node_modules"))
        self._process = subprocess.Popen(["node", HERE / "driver.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         text=True, env=environment, cwd=HERE)
        self._count = 0

    def open(self, **options):
        """A new page with cookies of its own; options of playwright's newContext (viewport, colorScheme, hasTouch ...)."""
        self._count += 1
        name = f"page{self._count}"
        self.ask({"on": "browser", "call": "open", "with": [name, options]})
        return Page(self, name)

    def ask(self, request):
        # A driver that hangs ends, and the line that it owed with it.
        guard = threading.Timer(ANSWER_SECONDS, self._process.kill)
        guard.start()
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            guard.cancel()
        if not line:
            raise BrowserError(f"the browser's driver ended at {request}")
        answer = json.loads(line)
        if "error" in answer:
            raise BrowserError(f"{request['call']} {request.get('selector') or ''} {request.get('with')}: {answer['error']}")
        return answer["result"]

    def close(self):
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
