#!/usr/bin/python3 -B
"""
VNC viewers that count what they are sent and look at none of it.

    rfb_meter.py --port PORT [--password-file FILE] [--viewers N] [--seconds S] [--encoding zrle|tight] [--process PID]

Each asks for the next change as soon as it has one. Prints, as JSON, what came in that time after the first pictures: for
each of the viewers (there may be none) frames and bytes, and the seconds of processor time that the threads of the
process took, those that run the guest apart from the others.
"""
import argparse
import json
import os
import re
import socket
import struct
import sys
import threading
import time
from pathlib import Path

from rfb_client import RfbClient

TIGHT, ZRLE, LAST_RECT, QUALITY_6 = 7, 16, -224, -26


class Counted(RfbClient):
    def __init__(self, *where, encoding):
        super().__init__(*where)
        self.socket.settimeout(None)
        self.received = 0
        encodings = [ZRLE] if encoding == "zrle" else [TIGHT, QUALITY_6, LAST_RECT]
        self.socket.sendall(struct.pack(f">BxH{len(encodings)}i", 2, len(encodings), *encodings))

    def _get(self, size):
        self.received = getattr(self, "received", 0) + size
        return super()._get(size)

    def update(self):
        kind, count = struct.unpack(">BxH", self._get(4))
        assert kind == 0, kind
        for _ in range(count):
            _, _, width, height, encoding = struct.unpack(">HHHHi", self._get(12))
            if encoding == ZRLE:
                self._get(struct.unpack(">I", self._get(4))[0])
            elif encoding == TIGHT:
                self._tight(width, height)
            elif encoding == LAST_RECT:
                break
            elif encoding >= 0:
                self._get(width * height * 4)
        return count

    def _tight(self, width, height):
        control = self._get(1)[0] >> 4
        if control == 8:
            self._get(3)
        elif control == 9:
            self._get(self._compact())
        else:
            line = width * 3
            if control & 4 and self._get(1)[0] == 1:
                colours = self._get(1)[0] + 1
                self._get(colours * 3)
                line = (width + 7) // 8 if colours == 2 else width
            size = line * height
            self._get(size if size < 12 else self._compact())

    def _compact(self):
        size = 0
        for shift in (0, 7, 14):
            byte = self._get(1)[0]
            size |= (byte if shift == 14 else byte & 0x7F) << shift
            if not byte & 0x80:
                break
        return size


def count(client):
    client.received = client.frames = 0
    try:
        while True:
            client.request(True)
            client.update()
            client.frames += 1
    except (EOFError, OSError):
        pass  # the time is over


def processor_ticks(pid):
    """Of each thread: its name (vCPUs are vcpuN here and CPU N/KVM with QEMU) and the ticks that it took."""
    ticks = {}
    for thread in Path(f"/proc/{pid}/task").iterdir() if pid else ():
        name, rest = (thread / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
        fields = rest.split()
        ticks[thread.name] = (bool(re.match(r"vcpu\d|CPU \d", name)), int(fields[11]) + int(fields[12]))
    return ticks


def measure(clients, seconds, pid):
    before = processor_ticks(pid)
    threads = [threading.Thread(target=count, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    # While all are still there: a thread that has ended takes its share with it.
    after = processor_ticks(pid)
    result = [{"frames": client.frames, "bytes": client.received} for client in clients]
    for client in clients:
        client.socket.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()
    spent = {True: 0, False: 0}
    for thread, (runs_guest, ticks) in after.items():
        spent[runs_guest] += ticks - before.get(thread, (False, 0))[1]
    hertz = os.sysconf("SC_CLK_TCK")
    return {"viewers": result, "guest_seconds": spent[True] / hertz, "other_seconds": spent[False] / hertz}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--password-file", type=Path)
    parser.add_argument("--viewers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--encoding", choices=["zrle", "tight"], default="zrle")
    parser.add_argument("--process", type=int)
    given = parser.parse_args()
    password = given.password_file.read_text().rstrip("\n") if given.password_file else None
    clients = [Counted(given.host, given.port, password, encoding=given.encoding) for _ in range(given.viewers)]
    for client in clients:
        client.request(False)
        client.update()
    json.dump(measure(clients, given.seconds, given.process), sys.stdout)


if __name__ == "__main__":
    main()
