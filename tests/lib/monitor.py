"""A casement that runs in the rig, as a test sees it: serial port, screen, control socket, end."""
import os
import re
import secrets
import signal
import time
from pathlib import Path

import machines
import ocr

POLL_SECONDS = 0.1
RUN_SECONDS = 5400 if os.environ.get("LONG") == "1" else 900  # of one machine; what is waited for has limits of its own
STOP_SECONDS = 20


class Casement:
    """
    Starts `casement run OPTIONS`, or another command that runs a machine, in the rig. Its folder, shared with the host,
    gets serial.log, casement.log, screenshots and the machine's state. When a limit strikes, the failure shows the screen and what was said last.
    TEST_CASEMENT names another program than ./casement, such as one that was built with sanitizers.
    """

    def __init__(self, rig, folder, options, seconds=RUN_SECONDS, program=None, env=None, wrapper=(), command="run"):
        self.rig = rig
        self.folder = folder
        self.serial_log = folder / "serial.log"
        self.log = folder / "casement.log"
        self.control = f"/tmp/casement-{secrets.token_hex(6)}.sock"
        self.program = program or os.environ.get("TEST_CASEMENT", machines.TREE / "casement")
        self._seen = 0
        self._screenshots = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.serial_log.touch()
        given = [str(option) for option in options]
        line = [*wrapper, self.program, command, *given, "--control", self.control]
        for option, value in (("--serial", self.serial_log), ("--state", folder / "state"), ("--web", "none"), ("--cpus", 1)):
            if option not in given:
                line += [option, value]
        self._output = open(self.log, "ab", buffering=0)
        self.run = rig.launch(*line, seconds=seconds, env=env, on_output=lambda _, data: self._output.write(data))

    @property
    def serial(self):
        """All that the guest has sent so far on its first serial port."""
        return self.serial_log.read_text(errors="replace")

    def wait_serial(self, pattern, seconds=180):
        """
        Waits until something that fits the pattern (a regular expression) comes on the serial port, after what an
        earlier call found, and returns the match. Fails when the monitor ends first, or after that many seconds.
        """
        deadline = time.monotonic() + seconds
        while True:
            ended = self.run.status is not None
            text = self.serial
            match = re.compile(pattern, re.MULTILINE).search(text, self._seen)
            if match:
                self._seen = match.end()
                return match
            if ended:
                self._fail(f"casement ended with status {self.run.status} before its guest sent {pattern!r}")
            if time.monotonic() > deadline:
                self._fail(f"the guest did not send {pattern!r} within {seconds} seconds")
            time.sleep(POLL_SECONDS)

    def guest_status(self, seconds=240):
        """What the guest's script ended with (tests/guest/init)."""
        return int(self.wait_serial(r"^GUEST-STATUS=(\d+)\s", seconds).group(1))

    def wait_end(self, seconds=120):
        """The exit status of casement, which must end by itself."""
        status = self.run.wait(seconds)
        if status is None:
            self._fail(f"casement did not end within {seconds} seconds")
        if self.run.limit:
            self._fail("casement was killed at its time limit")
        return status

    def ctl(self, *words, check=True, seconds=120):
        """Asks through the control socket; the answer's text, or with check=False the ended Run."""
        run = self.rig.run(self.program, "ctl", "--control", self.control, *words, check=check, seconds=seconds)
        return run.stdout.strip() if check else run

    def wait_control(self, seconds=60):
        """Until the control socket answers."""
        deadline = time.monotonic() + seconds
        while True:
            answer = self.ctl("status", check=False)
            if answer.status == 0:
                return answer.stdout.strip()
            if self.run.status is not None or time.monotonic() > deadline:
                self._fail(f"the control socket does not answer: {answer.stderr.strip()}")
            time.sleep(POLL_SECONDS)

    def screenshot(self):
        """A picture of the screen; the path of the PNG file."""
        path = self.folder / f"screen{self._screenshots}.png"
        self._screenshots += 1
        self.ctl("screenshot", path)
        return path

    def wait_screen(self, pattern, seconds=180):
        """Waits until the screen shows text that fits the pattern, and returns all that it shows."""
        deadline = time.monotonic() + seconds
        while True:
            text = ocr.text_of(self.screenshot())
            if re.search(pattern, text):
                return text
            if self.run.status is not None or time.monotonic() > deadline:
                self._fail(f"the screen did not show {pattern!r} within {seconds} seconds; it shows:\n{text}")
            time.sleep(1)

    def resources(self):
        """What the process holds now: descriptors, threads, KiB of heap."""
        script = ("ls /proc/$1/fd | wc -l; sed -n 's/^Threads:.//p' /proc/$1/status; "
                  "awk '/\\[heap\\]/ {h=1} h && /^Size:/ {print $2; exit}' /proc/$1/smaps")
        answer = self.rig.run("bash", "-c", script, "resources", self.pid()).stdout.split()
        descriptors, threads, heap = (int(word) for word in answer)
        return descriptors, threads, heap

    def pid(self):
        """Its number in the rig."""
        script = ('for p in $(pgrep -x casement); do grep -qzxF "$1" /proc/$p/cmdline && ! grep -qzx ctl /proc/$p/cmdline && '
                  'echo $p && break; done')
        return self.rig.run("bash", "-c", script, "pid", self.control, check=False).stdout.strip()

    def signal(self, number):
        self.run.signal(number)

    def close(self):
        """Ends it whatever it does."""
        if self.run.status is None:
            self.run.signal(signal.SIGTERM)
            self.run.signal(signal.SIGTERM)
            if self.run.wait(STOP_SECONDS) is None:
                self.run.kill()
        self._output.close()

    def _fail(self, what):
        picture = ""
        if self.run.status is None:
            answer = self.ctl("screenshot", self.folder / "failed.png", check=False)
            picture = f"\nscreen: {self.folder / 'failed.png'}" if answer.status == 0 else f"\nno screen: {answer.stderr}"
            activity = self.rig.run(machines.TREE / "tests/lib/activity", self.pid(), check=False)
            picture += f"\n--- activity\n{activity.stdout}{activity.stderr}"
        raise AssertionError(f"{what}{picture}\n--- {self.serial_log}\n{_tail(self.serial_log)}\n"
                             f"--- {self.log}\n{_tail(self.log)}")


def _tail(path: Path, lines=30):
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
