"""
A machine that is none: the page's files, the API with answers that a test sets, RFB with one picture. It notes what it is
asked and what is typed and pointed. For tests of the page itself, which need no guest.
"""
import base64
import hashlib
import json
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
ROOTS = {"/novnc/": TREE / "build" / "novnc", "/": TREE / "vmm" / "viewer" / "page"}
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CSP = "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
SECRET = "open sesame"
EVENT_SECONDS = 0.2

STATUS = {
    "name": "winter", "version": "0.1.0", "phase": "running", "waits_for": None, "uptime_seconds": 7384, "cpus": 4,
    "memory_bytes": 4 << 30, "resets": 0, "display": {"width": 1024, "height": 768}, "keyboard_layout": "de", "viewers": 1,
    "usage": {"cpu_percent": 23.4, "memory_resident_bytes": 1932735283, "disk_read_bytes_per_second": 1234567,
              "disk_write_bytes_per_second": 45678, "network_receive_bytes_per_second": 812345,
              "network_transmit_bytes_per_second": 9876},
    "progress": None,
}


class Machine:
    """status and failures are a test's to change; calls, keys, pointers are what came: (method, path, body), ..."""

    def __init__(self, picture, locked=False):
        self.status = json.loads(json.dumps(STATUS))
        self.status["display"] = {"width": picture.width, "height": picture.height}
        self.picture = picture
        self.locked = locked
        self.failures = {}  # path: (status, detail)
        self.calls, self.keys, self.pointers = [], [], []
        self.rfb_viewers = []
        self.down = False  # answers nothing
        self.changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"machine": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def note(self, what, entry):
        with self.changed:
            what.append(entry)
            self.changed.notify_all()

    def wait(self, done, seconds=30):
        """Until done() is true of what came."""
        with self.changed:
            assert self.changed.wait_for(done, seconds), f"calls {self.calls}, keys {self.keys[-20:]}"

    def drop_viewers(self):
        for connection in list(self.rfb_viewers):
            connection.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.down = True
        self._server.shutdown()
        self._server.server_close()
        self.drop_viewers()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    machine = None

    def log_message(self, *_):
        pass

    def answer(self, status, content=b"", kind="application/json", headers=()):
        self.send_response(status)
        self.send_header("Content-Security-Policy", CSP)
        self.send_header("X-Content-Type-Options", "nosniff")
        if status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if status != 204:
            self.wfile.write(content)

    def answer_json(self, value, status=200):
        self.answer(status, json.dumps(value).encode())

    def allowed(self):
        return not self.machine.locked or "session=ok" in (self.headers.get("Cookie") or "")

    def do_GET(self):
        path = self.path.partition("?")[0]
        if self.machine.down:
            self.close_connection = True
        elif not path.startswith("/api/"):
            self.send_file("/index.html" if path == "/" else path)
        elif not self.allowed():
            self.answer_json({"title": "Unauthorized", "status": 401}, 401)
        elif path == "/api/v1/rfb":
            self.serve_rfb()
        elif path == "/api/v1/events":
            self.serve_events()
        else:
            self.serve_api(path, None)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
        path = self.path
        if self.machine.down:
            self.close_connection = True
        elif path == "/api/v1/session":
            good = body.get("secret") == SECRET
            self.answer(204 if good else 401, b"{}", headers=[("Set-Cookie", "session=ok; HttpOnly")] if good else [])
        elif not self.allowed():
            self.answer_json({"title": "Unauthorized", "status": 401}, 401)
        else:
            self.serve_api(path, body)

    def do_DELETE(self):
        self.answer(204, headers=[("Set-Cookie", "session=; Max-Age=0")])

    def send_file(self, path):
        prefix = next(prefix for prefix in ROOTS if path.startswith(prefix))
        file = ROOTS[prefix] / path.removeprefix(prefix)
        if not file.is_file():
            self.answer(404, b"none")
            return
        self.answer(200, file.read_bytes(), TYPES.get(file.suffix, "text/plain"))

    def serve_api(self, path, body):
        path = path.removeprefix("/api/v1/")
        self.machine.note(self.machine.calls, (self.command, path, body))
        if path in self.machine.failures:
            status, detail = self.machine.failures[path]
            self.answer_json({"title": "Problem", "status": status, "detail": detail}, status)
        elif path == "status":
            self.answer_json(self.machine.status)
        elif path == "layouts":
            self.answer_json(["us", "uk", "de", "fr"])
        elif path == "screenshot.png":
            self.answer(200, b"\x89PNG fake", "image/png")
        elif self.command == "POST":
            self.answer(204)
        else:
            self.answer_json({"title": "Not Found", "status": 404}, 404)

    def serve_events(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            while not self.machine.down:
                self.wfile.write(f"event: status\ndata: {json.dumps(self.machine.status)}\n\n".encode())
                with self.machine.changed:
                    self.machine.changed.wait(EVENT_SECONDS)
        except OSError:
            pass
        self.close_connection = True

    # RFC 6455 and RFC 6143, as far as one picture needs them.

    def serve_rfb(self):
        accept = base64.b64encode(hashlib.sha1((self.headers["Sec-WebSocket-Key"] + GUID).encode()).digest()).decode()
        self.send_response(101)
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)):
            self.send_header(name, value)
        if "Sec-WebSocket-Protocol" in self.headers:
            self.send_header("Sec-WebSocket-Protocol", "binary")
        self.end_headers()
        self.machine.note(self.machine.rfb_viewers, self.connection)
        try:
            self.talk_rfb()
        except (OSError, EOFError, struct.error):
            pass
        self.machine.rfb_viewers.remove(self.connection)
        self.close_connection = True

    def send_frame(self, data):
        size = len(data)
        head = struct.pack(">BB", 0x82, size) if size < 126 else struct.pack(">BBH", 0x82, 126, size) \
            if size < 65536 else struct.pack(">BBQ", 0x82, 127, size)
        self.connection.sendall(head + data)

    def read_exactly(self, count):
        data = self.rfile.read(count)
        if len(data) < count:
            raise EOFError
        return data

    def take(self, count):
        while len(self.pending) < count:
            first, second = self.read_exactly(2)
            size = second & 127
            if size > 125:
                size = int.from_bytes(self.read_exactly(2 if size == 126 else 8), "big")
            mask = self.read_exactly(4)
            data = self.read_exactly(size)
            if first & 15 == 8:
                raise EOFError
            self.pending += bytes(byte ^ mask[n % 4] for n, byte in enumerate(data))
        taken, self.pending = self.pending[:count], self.pending[count:]
        return taken

    def talk_rfb(self):
        self.pending = b""
        picture = self.machine.picture
        self.send_frame(b"RFB 003.008\n")
        self.take(12)
        self.send_frame(b"\x01\x01")
        self.take(1)
        self.send_frame(bytes(4))
        self.take(1)
        name = self.machine.status["name"].encode()
        form = struct.pack(">BBBBHHHBBB3x", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
        self.send_frame(struct.pack(">HH", *picture.size) + form + struct.pack(">I", len(name)) + name)
        while True:
            self.take_message(self.take(1)[0], picture)

    def take_message(self, kind, picture):
        if kind == 0:
            self.order = "BGRX" if self.take(19)[3 + 10] == 16 else "RGBX"
        elif kind == 2:
            self.take(4 * struct.unpack(">xH", self.take(3))[0])
        elif kind == 3:
            incremental = self.take(9)[0]
            if not incremental:
                pixels = picture.convert("RGB").tobytes("raw", getattr(self, "order", "BGRX"))
                self.send_frame(struct.pack(">BxHHHHHi", 0, 1, 0, 0, *picture.size, 0) + pixels)
        elif kind == 4:
            down, keysym = struct.unpack(">BxxI", self.take(7))
            self.machine.note(self.machine.keys, (keysym, bool(down)))
        elif kind == 5:
            self.machine.note(self.machine.pointers, struct.unpack(">BHH", self.take(5)))
        elif kind == 6:
            self.take(struct.unpack(">xxxI", self.take(7))[0])
        else:
            raise EOFError
