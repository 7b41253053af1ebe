"""
Namespaces that play the world around a container: "outside", the "box" that a container is, and the "guest", joined
outside -- eth0 of the box -- casement -- eth0 of the guest. What runs in the box is guest.c.
"""
import json
import os
import select
import shlex
import signal
import subprocess
import time
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
PROGRAM = TREE / "build/release/program/network/guest"
MAC = "52:54:00:01:02:03"
LIMIT = 30  # seconds, for what takes a moment on a quiet machine

LEASE = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/$mask dev eth0
ip link set eth0 mtu $mtu
ip route add default via $router
env
"""


class World:
    count = 0

    def __init__(self, folder, mtu=1500, box="10.9.0.2/24", six=True, card="virtio"):
        World.count += 1
        self.folder = folder
        self.card = card
        self.processes = []
        self.names = {role: f"casement-{os.getpid()}-{World.count}-{role}" for role in ("outside", "box", "guest")}
        for role, name in self.names.items():
            subprocess.run(["ip", "netns", "add", name], check=True)
            self.run(role, "ip link set lo up")
        self.run("outside", f"ip link add eth0 type veth peer name eth0 netns {self.names['box']}")
        for role in ("outside", "box"):
            self.run(role, f"ip link set eth0 mtu {mtu} up")
        self.gateway = ".".join(box.split("/")[0].split(".")[:3] + ["1"])
        self.address, self.address6 = box.split("/")[0], "fd09::2"
        self.run("outside", f"ip addr add {self.gateway}/{box.split('/')[1]} dev eth0")
        self.run("box", f"ip addr add {box} dev eth0; ip route add default via {self.gateway}")
        if six:
            self.run("outside", "ip addr add fd09::1/64 dev eth0 nodad")
            self.run("box", "ip addr add fd09::2/64 dev eth0 nodad; ip route add default via fd09::1")
        self.state = folder / "state"
        self.state.mkdir()
        self.resolv = folder / "resolv.conf"
        self.resolv.write_text(f"nameserver {self.gateway}\n")

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        for name in self.names.values():
            subprocess.run(["ip", "netns", "del", name], check=False)

    def line(self, role, script):
        return ["ip", "netns", "exec", self.names[role], "bash", "-c", script]

    def run(self, role, script, check=True, seconds=LIMIT):
        """What it wrote; with check=False its CompletedProcess."""
        done = subprocess.run(self.line(role, script), capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL)
        if not check:
            return done
        assert done.returncode == 0, f"{role}: {script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, role, script, ready=None):
        """Leaves it running; waits until it has written the line `ready`."""
        process = subprocess.Popen(self.line(role, script), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=open(self.folder / "started.log", "ab"))
        self.processes.append(process)
        if ready:
            wait_line(process, ready)
        return process

    def python(self, role, text, *words, seconds=LIMIT):
        return self.run(role, shlex.join(["/usr/bin/python3", "-c", text, *map(str, words)]), seconds=seconds)

    def serve(self, role, text, *words):
        """A Python program that says "ready" when it can be spoken to."""
        return self.start(role, "exec " + shlex.join(["/usr/bin/python3", "-u", "-c", text, *map(str, words)]), "ready")

    def script(self, options, before, wrapper, guest=None):
        """guest.c, with our resolv.conf. before: a script that changes what it finds; wrapper: a command in front of it."""
        line = shlex.join([str(PROGRAM), self.card, f"/run/netns/{guest or self.names['guest']}", "--mac", MAC, "--state", str(self.state),
                           *options])
        return f"mount --bind {self.resolv} /etc/resolv.conf && {before} && exec {wrapper} {line}"

    def casement(self, *options, before="true", wrapper=""):
        return self.start("box", self.script(options, before, wrapper), "ready")

    def refusal(self, *options, before="true", wrapper="", early=False):
        """What it says instead of starting; early: before it looks for the guest, and so before it makes anything."""
        done = self.run("box", self.script(options, before, wrapper, "nowhere" if early else None), check=False)
        assert done.returncode == 1, done
        return done.stderr

    def lease(self):
        """Takes the guest's interface up with what DHCP says; that, as a dict."""
        script = self.folder / "lease.sh"
        script.write_text(LEASE)
        script.chmod(0o755)
        text = self.run("guest", f"ip link set eth0 up; busybox udhcpc -i eth0 -n -q -f -t 5 -T 2 -O mtu -s {script} "
                                 f"-x hostname:asked-for")
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def picture(self, role="box"):
        """Everything of a namespace that may not stay changed; link-local addresses come when they like."""
        links = json.loads(self.run(role, "ip -j addr"))
        return {"addresses": [(link["ifname"], sorted(address["local"] for address in link["addr_info"] if address["scope"] != "link"))
                              for link in links],
                "routes": self.run(role, "ip route; ip -6 route | grep -v ^fe80"), "rules": self.run(role, "nft list ruleset"),
                "forwarding": self.run(role, "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding "
                                             "/proc/sys/net/ipv6/conf/eth0/accept_ra")}


def wait_line(process, wanted):
    """Until the process has written that line; fails when it ends first."""
    deadline, text = time.monotonic() + LIMIT, b""
    while f"{wanted}\n".encode() not in text:
        assert select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))[0], f"no {wanted!r}: {text}"
        data = os.read(process.stdout.fileno(), 65536)
        assert data, f"ended before it said {wanted!r}: {text}"
        text += data


def until(condition, what):
    """Until it holds."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def stop(process):
    """A proper end."""
    process.stdin.close()
    assert process.wait(LIMIT) == 0


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait(LIMIT)
