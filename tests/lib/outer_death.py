"""
When the outer machine dies under a test, the test is run again in a fresh one.

The outer machine is an emulator with faults (rig/README.md): now and then its kernel panics or its processors stop,
which no program in it can do to a machine. That says nothing about the test. Only then is a test run again, at most
DEATHS times in a session, and the summary says which; a test that fails in an outer machine that lives has failed.
"""
from _pytest.runner import runtestprotocol

DEATHS = 3


class OuterDeath:
    """A pytest plugin. machine: the one in use, set by the fixture that starts it."""

    def __init__(self):
        self.machine = None
        self.deaths = []

    def pytest_runtest_protocol(self, item, nextitem):
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if any(report.failed for report in reports) and self._died() and len(self.deaths) < DEATHS:
            self.deaths.append((item.nodeid, self.machine.console()[-3000:]))
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

    def _died(self):
        return self.machine is not None and not self.machine.answers()
