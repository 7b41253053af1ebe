"""Run in the rig: attacks a machine's web server, and prints as JSON what came of it. usage: web_attack.py PORT TOKEN"""
import base64
import json
import os
import socket
import sys
import time

PORT, TOKEN = int(sys.argv[1]), sys.argv[2]
GIB = 1 << 30
LIMIT = 120


def dial():
    return socket.create_connection(("127.0.0.1", PORT), timeout=LIMIT)


def ended(connection):
    """Whether the server hangs up."""
    try:
        while connection.recv(65536):
            pass
        return True
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def endless_header():
    """Bytes of one header that the server takes."""
    block, sent = b"a" * 65536, 0
    with dial() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        try:
            while sent < GIB:
                sent += connection.send(block)
        except OSError:
            pass
    return sent


def half_open():
    """The longest time in seconds that a connection may say nothing, or half a request."""
    start = time.monotonic()
    connections = [dial() for _ in range(100)]
    for connection in connections[::2]:
        connection.sendall(b"GET / HT")
    assert all(ended(connection) for connection in connections)
    return time.monotonic() - start


def deaf_viewers():
    """200 websockets that never read; how many were let in. They stay."""
    open_now, let_in = [], 0
    for _ in range(200):
        connection = dial()
        key = base64.b64encode(os.urandom(16)).decode()
        connection.sendall(f"GET /api/v1/rfb HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                           f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
                           f"Authorization: Bearer {TOKEN}\r\n\r\n".encode())
        let_in += connection.recv(12) == b"HTTP/1.1 101"
        open_now.append(connection)
    return let_in, open_now


result = {"header": endless_header(), "half_open": half_open()}
result["viewers"], kept = deaf_viewers()
print(json.dumps(result), flush=True)
sys.stdin.read()  # until the test has seen enough
