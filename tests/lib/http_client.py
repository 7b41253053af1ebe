"""HTTP in the rig, with curl: what programs and browsers see of a machine's API."""
import json
import re
import secrets
from pathlib import Path


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def type(self):
        return self.headers.get("content-type", "").split(";")[0]

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)


class Http:
    """
    Asks the machine at base (http://127.0.0.1:8006), or over a UNIX socket. options go to curl. folder is shared with
    the rig.
    """

    def __init__(self, rig, folder, base, options=()):
        self.rig, self.folder, self.base, self.options = rig, Path(folder), base, list(options)

    def ask(self, method, path, body=None, headers=(), seconds=30, check=True):
        name = self.folder / f"answer-{secrets.token_hex(4)}"
        command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", seconds, "--request", method,
                   "--dump-header", f"{name}.head", "--output", f"{name}.body", *self.options]
        for header in headers:
            command += ["--header", header]
        if body is not None:
            command += ["--header", "Content-Type: application/json", "--data-binary",
                        body if isinstance(body, str) else json.dumps(body)]
        run = self.rig.run(*command, self.base + path, check=check, seconds=seconds + 30)
        head = Path(f"{name}.head").read_text()
        lines = head.strip().splitlines()
        fields = dict(re.split(r":\s*", line, maxsplit=1) for line in lines[1:] if ":" in line)
        content = Path(f"{name}.body").read_bytes() if Path(f"{name}.body").exists() else b""
        for part in ("head", "body"):
            Path(f"{name}.{part}").unlink(missing_ok=True)
        answer = Answer(int(lines[0].split()[1]) if lines else 0, {key.lower(): value for key, value in fields.items()},
                        content)
        answer.exit = run.status
        return answer

    def get(self, path, **settings):
        return self.ask("GET", path, **settings)

    def post(self, path, body=None, **settings):
        return self.ask("POST", path, body, **settings)
