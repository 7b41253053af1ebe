"""
Runs one command with a time limit, in a process group of its own, and says what came of it as a stream of frames.

The same on both sides of the rig: directly on a host that has /dev/kvm, and by the agent in the outer machine.
A frame is a letter, a length (32 bits, big endian) and that many bytes:
    from the job:  o, e   standard output, standard error
                   x      the end, as JSON: {"status": 0..255, "limit": was it the time limit}
    to the job:    i      standard input; an empty one closes it
                   s      a signal, as decimal number
"""
import json
import os
import selectors
import signal
import struct
import subprocess
import threading
import time

STATUS_LIMIT = 124
GRACE_SECONDS = 3  # between SIGTERM and SIGKILL
HEADER = struct.Struct("!cI")


def pack(kind, data=b""):
    return HEADER.pack(kind, len(data)) + data


class Frames:
    """Takes bytes as they come and gives whole frames."""

    def __init__(self):
        self._buffer = bytearray()

    def feed(self, data):
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            kind, length = HEADER.unpack_from(self._buffer)
            if len(self._buffer) < HEADER.size + length:
                return
            frame = bytes(self._buffer[HEADER.size:HEADER.size + length])
            del self._buffer[:HEADER.size + length]
            yield kind, frame


class Job:
    """A running command. emit(kind, data) is called on the job's thread; the last call is "x"."""

    def __init__(self, command, emit, cwd=None, env=None, seconds=None):
        self._emit = emit
        self._deadline = time.monotonic() + seconds if seconds else None
        self._killed = threading.Event()
        self._lock = threading.Lock()
        try:
            self._process = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                             stderr=subprocess.PIPE, start_new_session=True)
        except OSError as error:
            emit(b"e", f"{error.filename or command[0]}: {error.strerror}\n".encode())
            emit(b"x", _end(126 if isinstance(error, PermissionError) else 127, False))
            self._process = None
            return
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def input(self, data):
        """Standard input; b"" closes it."""
        if not self._process:
            return
        try:
            if data:
                self._process.stdin.write(data)
                self._process.stdin.flush()
            else:
                self._process.stdin.close()
        except (BrokenPipeError, ValueError):
            pass

    def signal(self, number):
        """To the whole process group."""
        with self._lock:
            if self._process and self._process.returncode is None:
                try:
                    os.killpg(self._process.pid, number)
                except ProcessLookupError:
                    pass

    def kill(self):
        """Ends it and all that it started; returns when that is done."""
        if self._process:
            self._killed.set()
            self._thread.join()

    def _serve(self):
        limit = False
        kill_at = None
        with selectors.DefaultSelector() as selector:
            for pipe, kind in ((self._process.stdout, b"o"), (self._process.stderr, b"e")):
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, selectors.EVENT_READ, kind)
            ended = os.pidfd_open(self._process.pid)
            selector.register(ended, selectors.EVENT_READ, None)
            running = True
            while running:
                now = time.monotonic()
                if self._deadline and now >= self._deadline and not kill_at:
                    limit = True
                if (limit or self._killed.is_set()) and not kill_at:
                    self.signal(signal.SIGTERM)
                    kill_at = now + GRACE_SECONDS
                if kill_at and now >= kill_at:
                    self.signal(signal.SIGKILL)
                for key, _ in selector.select(0.5):
                    if key.data:
                        self._copy(selector, key)
                    else:
                        running = False
            selector.unregister(ended)
            os.close(ended)
            # The group's other members go too, while the leader's process id still belongs to it.
            self.signal(signal.SIGKILL)
            with self._lock:
                status = self._process.wait()
            for key in list(selector.get_map().values()):
                while self._copy(selector, key):
                    pass
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            try:
                pipe.close()
            except BrokenPipeError:
                pass
        if limit:
            status = STATUS_LIMIT
        self._emit(b"x", _end(status if status >= 0 else 128 - status, limit))

    def _copy(self, selector, key):
        try:
            data = os.read(key.fd, 65536)
        except BlockingIOError:
            return False
        if data:
            self._emit(key.data, data)
        else:
            selector.unregister(key.fileobj)
        return bool(data)


def _end(status, limit):
    return json.dumps({"status": status, "limit": limit}).encode()
