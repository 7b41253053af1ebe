"""
When the outer machine dies under a test, the test is run again in a fresh one.

The outer machine is an emulator with faults (rig/README.md): now and then its kernel panics or its processors stop,
which no program in it can do to a machine. That says nothing about the test. Only then is a test run again, at most
DEATHS times in a session, and the summary says which; a test that fails in an outer machine that lives has failed.
"""
import pytest
from _pytest.runner import runtestprotocol

DEATHS = 3


class OuterDeath:
    """A pytest plugin. machine: the one in use, set by the fixture that starts it; None when there is none."""

    def __init__(self):
        self.machine = None
        self.deaths = []  # (test, what the machine said)
        self._said = None  # by a machine that died under the test that runs

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        """Asks at once: behind a file's last test the machine is gone in any case."""
        report = (yield).get_result()
        if report.failed and self._said is None and self.machine and not self.machine.answers():
            self._said = self.machine.console()[-3000:]

    def pytest_runtest_protocol(self, item, nextitem):
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        self._said = None
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if self._said is not None and len(self.deaths) < DEATHS:
            self.deaths.append((item.nodeid, self._said))
            # Every fixture goes, the machine with them; the session's are made anew as the first test makes them.
            item.session._setupstate.teardown_exact(None)
            item._initrequest()
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_terminal_summary(self, terminalreporter):
        for test, said in self.deaths:
            terminalreporter.section(f"the outer machine died, and a fresh one ran again: {test}")
            terminalreporter.write_line(said)
