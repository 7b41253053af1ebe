"""A web server for downloads that misbehaves when asked to: it drops connections, and counts what it sends."""
import http.server
import re
import threading


class Numbered:
    """Content of any size that takes no memory: each block begins with its number, and is zeroes behind that."""

    BLOCK = 1 << 16

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def block(self, number):
        return number.to_bytes(16, "little") + bytes(self.BLOCK - 16)

    def __getitem__(self, part):
        first, end = part.start // self.BLOCK, -(-part.stop // self.BLOCK)
        whole = b"".join(map(self.block, range(first, end)))
        return whole[part.start - first * self.BLOCK:part.stop - first * self.BLOCK]


class Server:
    """Serves one file at /file.iso. drop_after: bytes behind which each of the first `drops` connections ends."""

    def __init__(self, content, drops=0, drop_after=0):
        self.content, self.drops, self.drop_after = content, drops, drop_after
        self.sent = 0
        self.lock = threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/file.iso"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, handler):
        if handler.path != "/file.iso":
            handler.send_error(404)
            return
        first, last = 0, len(self.content) - 1
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range", ""))
        if asked:
            first, last = int(asked[1]), int(asked[2] or last)
        handler.send_response(206 if asked else 200)
        handler.send_header("Content-Length", str(last + 1 - first))
        handler.send_header("ETag", '"1"')
        if asked:
            handler.send_header("Content-Range", f"bytes {first}-{last}/{len(self.content)}")
        handler.end_headers()
        with self.lock:
            cut = self.drops > 0
            self.drops -= cut
        end = min(last + 1, first + self.drop_after) if cut else last + 1
        for at in range(first, end, 1 << 16):
            data = self.content[at:min(at + (1 << 16), end)]
            handler.wfile.write(data)
            with self.lock:
                self.sent += len(data)
        handler.close_connection = cut

    def close(self):
        self._server.shutdown()
        self._server.server_close()
