"""A web server for downloads that misbehaves when asked to: it drops connections, and counts what it sends."""
import http.server
import re
import threading


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
        data = memoryview(self.content)[first:min(last + 1, first + self.drop_after) if cut else last + 1]
        for at in range(0, len(data), 1 << 16):
            handler.wfile.write(data[at:at + (1 << 16)])
            with self.lock:
                self.sent += len(data[at:at + (1 << 16)])
        handler.close_connection = cut

    def close(self):
        self._server.shutdown()
        self._server.server_close()
