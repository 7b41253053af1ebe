"""The rig as tests use it."""
import shlex


class Rig:
    def __init__(self, machine):
        self.machine = machine

    def launch(self, *command, **settings):
        """Starts a command there and returns its Run (rig/machines.py) at once."""
        return self.machine.launch([str(word) for word in command], **settings)

    def run(self, *command, seconds=120, check=True, **settings):
        """Runs a command there to its end. check: another exit status than 0 fails the test."""
        run = self.launch(*command, seconds=seconds, **settings)
        run.input(b"")
        run.wait()
        if check and run.status != 0:
            reason = f"was killed after {seconds} seconds" if run.limit else f"ended with status {run.status}"
            raise AssertionError(f"{shlex.join(map(str, command))} {reason}\n{run.stdout[-4000:]}{run.stderr[-4000:]}")
        return run

    def shell(self, script, **settings):
        return self.run("bash", "-c", script, **settings)
