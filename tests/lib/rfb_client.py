#!/usr/bin/python3 -B
"""
A small VNC viewer for tests: Raw, VNC authentication, keys by keysym and by scan code.

    rfb_client.py [--host ADDRESS] --port PORT [--password-file FILE] ACTION...

Actions, in turn: shot:FILE (all of the screen, as PPM), keys:TEXT (by keysym), scan:HEX,HEX,... (by scan code; pressed
and released one after the other), pointer:X,Y,BUTTONS. After each key it waits until the screen has changed. Exit
status 3: the server refuses the password.
"""
import argparse
import socket
import struct
import subprocess
import sys
from pathlib import Path

LIMIT_SECONDS = 60
RAW, NEW_SIZE, EXTENDED_KEY = 0, -223, -258


class Refused(Exception):
    """The server does not let this viewer in; the text is its reason."""


def des_answer(password, challenge):
    """The challenge encrypted by DES (as triple DES with one key three times) with the password's bits in reverse."""
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode()[:8].ljust(8, b"\0"))
    return subprocess.run(["openssl", "enc", "-des-ede3", "-nopad", "-K", (key * 3).hex()], input=challenge, check=True,
                          capture_output=True).stdout


class RfbClient:
    def __init__(self, host, port, password=None):
        self.socket = socket.create_connection((host, port), LIMIT_SECONDS)
        self._shake_hands(password)
        self.socket.sendall(b"\1")
        self.width, self.height = struct.unpack(">HH", self._get(4))
        depth = self._get(16)
        assert depth[:4] == bytes([32, 24, 0, 1]) and depth[10:13] == bytes([16, 8, 0]), depth.hex()
        self.name = self._get(struct.unpack(">I", self._get(4))[0]).decode()
        self.extended_keys = False
        self._clear()
        self.socket.sendall(struct.pack(">BxHiii", 2, 3, RAW, NEW_SIZE, EXTENDED_KEY))

    def _get(self, size):
        data = bytearray()
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise EOFError("the server has closed the connection")
            data += part
        return bytes(data)

    def _shake_hands(self, password):
        version = self._get(12)
        assert version == b"RFB 003.008\n", version
        self.socket.sendall(version)
        types = self._get(self._get(1)[0])
        wanted = 2 if password is not None else 1
        assert wanted in types, types
        self.socket.sendall(bytes([wanted]))
        if password is not None:
            self.socket.sendall(des_answer(password, self._get(16)))
        if struct.unpack(">I", self._get(4))[0]:
            raise Refused(self._get(struct.unpack(">I", self._get(4))[0]).decode())

    def _clear(self):
        self.pixels = bytearray(self.width * self.height * 4)

    def request(self, incremental):
        self.socket.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))

    def update(self):
        """Takes one FramebufferUpdate; the number of pixels in it."""
        kind, count = struct.unpack(">BxH", self._get(4))
        assert kind == 0, kind
        area = 0
        for _ in range(count):
            x, y, width, height, encoding = struct.unpack(">HHHHi", self._get(12))
            if encoding == NEW_SIZE:
                self.width, self.height = width, height
                self._clear()
            elif encoding == EXTENDED_KEY:
                self.extended_keys = True
            else:
                assert encoding == RAW, encoding
                data = self._get(width * height * 4)
                area += width * height
                for line in range(height):
                    at = ((y + line) * self.width + x) * 4
                    self.pixels[at:at + width * 4] = data[line * width * 4:(line + 1) * width * 4]
        return area

    def wait_change(self):
        self.request(True)
        while not self.update():
            self.request(True)

    def look(self):
        """All of the screen as it is now."""
        self.request(False)
        while self.update() < self.width * self.height:
            self.request(False)

    def save(self, path):
        rgb = bytearray(self.width * self.height * 3)
        for colour in range(3):
            rgb[colour::3] = self.pixels[2 - colour::4]
        Path(path).write_bytes(b"P6 %d %d 255\n" % (self.width, self.height) + rgb)

    def key(self, keysym, down):
        self.socket.sendall(struct.pack(">BBxxI", 4, down, keysym))

    def scan_code(self, code, down, keysym=0):
        assert self.extended_keys
        self.socket.sendall(struct.pack(">BBHII", 255, 0, down, keysym, code))

    def pointer(self, x, y, buttons):
        self.socket.sendall(struct.pack(">BBHH", 5, buttons, x, y))


def press(client, send, codes):
    for code in codes:
        send(code, 1)
        send(code, 0)
        client.wait_change()


def act(client, kind, value):
    if kind == "shot":
        client.look()
        client.save(value)
    elif kind == "keys":
        press(client, client.key, map(ord, value))
    elif kind == "scan":
        press(client, client.scan_code, [int(code, 16) for code in value.split(",")])
    elif kind == "pointer":
        client.pointer(*map(int, value.split(",")))
    else:
        raise SystemExit(f"{kind}: unknown action; see --help")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--password-file", type=Path)
    parser.add_argument("actions", nargs="*", metavar="ACTION")
    arguments = parser.parse_args()
    password = arguments.password_file.read_text().rstrip("\n") if arguments.password_file else None
    try:
        client = RfbClient(arguments.host, arguments.port, password)
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return 3
    client.look()
    for action in arguments.actions:
        act(client, *action.split(":", 1))
    print(f"{client.name} {client.width}x{client.height}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
