"""Podman in the rig, with a store and settings of its own, and one container as a test sees it."""
import contextlib
import json
import re
import secrets
import subprocess
import tempfile
import time
from types import SimpleNamespace

import machines

# The rig has no systemd: no timers for health checks, and control groups by the engine itself.
SETTINGS = """
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
[network]
network_backend = "netavark"
"""
# The outer machine's kernel finds no program that would load these when they are asked for.
MODULES = ("overlay veth bridge br_netfilter nf_tables nft_compat nft_chain_nat nf_nat xt_addrtype xt_comment xt_conntrack xt_mark "
           "xt_MASQUERADE xt_nat xt_multiport xt_tcpudp ip_tables ip6_tables iptable_nat iptable_filter")


def collect(folder):
    """What tools/image makes of this tree's program."""
    subprocess.run([machines.TREE / "tools/image", machines.TREE / "casement", folder], check=True, capture_output=True)
    return SimpleNamespace(folder=folder, root=folder / "root", archive=folder / "root.tar", sbom=folder / "casement.spdx.json")


@contextlib.contextmanager
def host_engine():
    """engine(word, ...): this host's Podman with a store of its own; its output. Podman takes no long path for it."""
    with tempfile.TemporaryDirectory(prefix="engine-", dir="/tmp") as place:
        def call(*words):
            run = subprocess.run(["podman", "--root", f"{place}/store", "--runroot", f"{place}/run", "--storage-driver", "vfs", *words],
                                 capture_output=True, text=True, check=False)
            assert run.returncode == 0, run.stderr
            return run.stdout

        yield call
        call("rmi", "--all", "--force")


def build_image(tree, archive, *options):
    """
    The Dockerfile's last stage, built with these options, with the tree from this host in place of the one that its first stage would make: that one compiles
    everything anew. As an archive, whose path it returns: the host's engine and the rig's share no store.
    """
    text = (machines.TREE / "Dockerfile").read_text()
    last = text[text.rindex("\nFROM "):].replace("COPY --from=build /casement/build/image/root/ /", "ADD root.tar /")
    assert "ADD root.tar" in last
    (tree / "Dockerfile").write_text(last)
    with host_engine() as engine:
        engine("build", "--quiet", "--format", "docker", "--timestamp", "0", *options, "-t", "localhost/casement", tree)
        engine("save", "--quiet", "--format", "docker-archive", "-o", archive, "localhost/casement")
    return archive


class Podman:
    """user: the engine of this account's own, rootless; in memory the kernel has no overlay for it."""

    def __init__(self, rig, user=None):
        self.rig = rig
        if rig.machine.folder:
            rig.shell(f"for module in {MODULES}; do modprobe -q $module; done; true")
        settings = rig.shell(f"f=$(mktemp /tmp/containers.XXXXXX); cat >$f <<'E'\n{SETTINGS}E\nchmod 644 $f; echo $f").stdout.strip()
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        home = [f"HOME=/home/{user}", f"XDG_RUNTIME_DIR=/run/user/{user}"] if user else []
        place = f"/var/lib/containers/{user or 'casement-test'}"
        self.command = [*as_user, "env", f"CONTAINERS_CONF={settings}", "DISABLE_HC_SYSTEMD=true", *home, "podman", "--root", f"{place}/store",
                        "--runroot", f"{place}/run", "--storage-driver", "vfs" if user else "overlay"]

    def __call__(self, *words, check=True, seconds=300):
        return self.rig.run(*self.command, *words, check=check, seconds=seconds)


class Container:
    """One that was started with `podman run --detach OPTIONS casement ARGUMENTS`."""

    def __init__(self, podman, options, arguments=()):
        self.podman, self.rig = podman, podman.rig
        self.name = f"test-{secrets.token_hex(4)}"
        self._seen = 0
        podman("run", "--detach", "--name", self.name, *options, "localhost/casement", *arguments)

    def start(self, serial):
        """Once more, with nothing in the serial port's file of what the last guest sent."""
        self.rig.run("rm", "-f", serial)
        self._seen = 0
        self.podman("start", self.name)

    def log(self):
        run = self.podman("logs", self.name)
        return run.stdout + run.stderr

    def state(self):
        """Status, exit status, and whether the engine counts it as healthy."""
        found = json.loads(self.podman("inspect", self.name).stdout)[0]["State"]
        return found["Status"], found["ExitCode"]

    def wait_serial(self, file, pattern, seconds=600):
        """Until the guest has sent something that fits the pattern, after what an earlier call found."""
        def look():
            match = re.compile(pattern).search(self.rig.run("cat", file, check=False).stdout, self._seen)
            if match:
                self._seen = match.end()
            return match
        return self._wait(look, f"the guest did not send {pattern!r}", seconds)

    def wait_page(self, url, seconds=300):
        """Until something answers there; what it says."""
        def look():
            run = self.rig.run("curl", "-sS", "--max-time", "20", url, check=False)
            return run.stdout if run.status == 0 else None
        return self._wait(look, f"{url} does not answer", seconds)

    def _wait(self, look, failure, seconds):
        """The engine takes seconds for an answer in the rig, so that it is asked seldom whether there is still anything to wait for."""
        started = asked = time.monotonic()
        while not (found := look()):
            now = time.monotonic()
            ended = now - asked > 15 and self.state()[0] != "running"
            asked = time.monotonic() if now - asked > 15 else asked
            if ended or now - started > seconds:
                raise AssertionError(f"{failure}; {self.state()}\n{self.log()[-4000:]}")
            time.sleep(0.5)
        return found

    def stop(self):
        """As `podman stop` does; the seconds that it took, and the exit status."""
        started = time.monotonic()
        self.podman("stop", "--time", "120", self.name, seconds=180)
        return time.monotonic() - started, self.state()[1]

    def remove(self):
        self.podman("rm", "--force", "--time", "0", self.name, check=False)
