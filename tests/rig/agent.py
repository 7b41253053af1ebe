"""
Runs commands in the outer machine. One connection is one command: a line with what to run, then frames (see jobs.py).

The port is reachable from the host's loopback device by whoever is logged in there; the key keeps them out.
"""
import fcntl
import hmac
import json
import os
import socketserver
import subprocess
import sys
import threading

import jobs

PORT = 9000


class Command(socketserver.StreamRequestHandler):
    def handle(self):
        try:
            request = json.loads(self.rfile.readline(1 << 20))
            if not hmac.compare_digest(str(request["key"]), self.server.key):
                return
        except (ValueError, KeyError, TypeError):
            return
        if request.get("power_off"):
            subprocess.run(["/bin/busybox", "poweroff", "-f"], check=False)
            return
        lock = threading.Lock()

        def emit(kind, data):
            with lock:
                try:
                    self.connection.sendall(jobs.pack(kind, data))
                    if kind == b"x":
                        self.connection.shutdown(1)
                except OSError:
                    pass

        job = jobs.Job(request["command"], emit, request["cwd"], request["env"], request["seconds"])
        frames = jobs.Frames()
        try:
            while data := self.rfile.read1(65536):
                for kind, frame in frames.feed(data):
                    if kind == b"i":
                        job.input(frame)
                    elif kind == b"s":
                        job.signal(int(frame))
        except OSError:
            pass
        job.kill()


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64


KVM_CREATE_VM = 0xAE01


def keep_a_machine():
    """
    An empty virtual machine that stays. When the last one goes, KVM switches virtualisation off on every processor, and
    under the emulator a processor now and then takes no interrupt any more after that: the outer machine stands still.
    """
    kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    return fcntl.ioctl(kvm, KVM_CREATE_VM, 0)


def main():
    os.umask(0o022)
    keep_a_machine()
    with Server(("", PORT), Command) as server, open("/dev/console", "wb", buffering=0) as console:
        server.key = sys.argv[1]
        console.write(b"RIG-READY\n")
        server.serve_forever()


if __name__ == "__main__":
    main()
