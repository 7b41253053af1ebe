"""The API of a real machine: each operation as docs/openapi.yaml describes it, metrics, access, TLS, `casement ctl`."""
import copy
import io
import json
import re
import subprocess
import time

import jsonschema
import machines
import pytest
import yaml
from http_client import Http
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

DESCRIPTION = machines.TREE / "docs/openapi.yaml"
PORT = 8006


@pytest.fixture
def linux(casement, initrd, kernel):
    """A guest that stays, behind the page's port."""
    def start(*options, script="sleep 1000", **settings):
        machine = casement("--memory", "192M", "--cpus", "1", "--kernel", kernel.image, "--initrd", initrd(script),
                           "--append", "console=ttyS0 quiet", "--web", PORT, *options, **settings)
        machine.wait_control()
        return machine

    return start


def token_of(machine):
    return (machine.folder / "state/web-token").read_text().strip()


def client(rig, folder, machine, *options):
    return Http(rig, folder, f"http://127.0.0.1:{PORT}", ["--header", f"Authorization: Bearer {token_of(machine)}",
                                                         *options])


def test_the_description_is_valid():
    """By a public validator."""
    script = ("require('@apidevtools/swagger-parser').validate(process.argv[1])"
              ".then(() => console.log('valid'), error => { console.error(error.message); process.exit(1) })")
    run = subprocess.run(["node", "-e", script, DESCRIPTION], cwd=machines.TREE / "tests", capture_output=True,
                         text=True, timeout=120)
    assert run.stdout == "valid\n", f"{run.stderr} (tools/setup installs the validator)"


def resolve(description, node):
    """The node with every $ref in it followed, and nullable in JSON Schema's own way."""
    if isinstance(node, list):
        return [resolve(description, item) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = description
        for key in node["$ref"].removeprefix("#/").split("/"):
            target = target[key]
        return resolve(description, target)
    node = {key: resolve(description, value) for key, value in copy.copy(node).items()}
    if node.pop("nullable", False):
        return {"anyOf": [{"type": "null"}, node]}
    return node


def conforms(operation, answer):
    """Status, content type and content are among those that the description has."""
    responses = operation["responses"]
    response = responses.get(str(answer.status)) or responses.get(f"{answer.status // 100}XX")
    assert response, f"{operation['operationId']}: {answer.status} is not described: {answer.body[:200]}"
    content = response.get("content", {})
    if not content:
        assert not answer.body
        return
    assert answer.type in content, f"{operation['operationId']}: {answer.type}"
    schema = content[answer.type]["schema"]
    if answer.type.endswith("json"):
        jsonschema.validate(answer.json, schema)
    elif schema.get("format") != "binary":
        jsonschema.validate(answer.text, schema)


BODIES = {
    "openSession": {"secret": "a wrong one"},
    "typeText": {"text": "ls\n"},
    "pressKeys": {"keys": "ctrl-alt-f2"},
    "movePointer": {"x": 16384, "y": 0, "buttons": 1, "wheel": -1},
    "growDisk": {"bytes": 1 << 30},
}
STATUS = {"openSession": 401, "openViewer": 426, "plugUsbDevice": (204, 404), "unplugUsbDevice": (204, 404),
          "closeSession": 204, "getToken": 403, "growDisk": (204, 404)}


def test_each_operation_answers_as_described(linux, rig, folder):
    machine = linux("--forward", "2222:22", "--forward", "0.0.0.0:5353:53/udp")
    http = client(rig, folder, machine)
    anonymous = Http(rig, folder, f"http://127.0.0.1:{PORT}")
    description = yaml.safe_load(DESCRIPTION.read_text())
    description = resolve(description, description)
    last = "/api/v1/power/off"
    for path, methods in sorted(description["paths"].items(), key=lambda item: item[0] == last):
        for method, operation in methods.items():
            name, real = operation["operationId"], path.replace("{name}", "tablet")
            if operation.get("security") != []:
                answer = anonymous.ask(method.upper(), real, BODIES.get(name))
                assert answer.status == 401, name
                conforms(operation, answer)
            if name == "streamEvents":
                continue
            answer = http.ask(method.upper(), real, BODIES.get(name))
            conforms(operation, answer)
            expected = STATUS.get(name, (200, 204))
            assert answer.status in (expected if isinstance(expected, tuple) else (expected,)), (name, answer.body)
            for bad in ('{"nonsense": 1}', "{", "[]") if name in BODIES and path.startswith("/api/v1/input") else ():
                refused = http.ask(method.upper(), real, bad)
                assert refused.status in (400, 422), (name, bad)
                conforms(operation, refused)
            if path == last:
                assert machine.wait_end() == 0
                return
            other = http.ask("PUT", real)
            assert other.status == 405 and method.upper() in other.headers["allow"]
    raise AssertionError("power/off is not described")


@pytest.mark.long
def test_what_is_read_is_true(linux, rig, folder):
    machine = linux("--forward", "2222:22", "--forward", "0.0.0.0:5353:53/udp", "--name", "box")
    http = client(rig, folder, machine)
    assert http.get("/readyz").text == "ok\n"
    status = http.get("/api/v1/status").json
    assert (status["name"], status["phase"], status["cpus"], status["memory_bytes"]) == ("box", "running", 1, 192 << 20)
    time_before = status["uptime_seconds"]
    assert http.get("/api/v1/forwards").json == [
        {"protocol": "tcp", "host_address": "127.0.0.1", "host_port": 2222, "guest_port": 22},
        {"protocol": "udp", "host_address": "0.0.0.0", "host_port": 5353, "guest_port": 53}]
    assert "us" in http.get("/api/v1/layouts").json
    picture = Image.open(io.BytesIO(http.get("/api/v1/screenshot.png").body))
    assert picture.format == "PNG" and picture.size[0] >= 640
    # The guest does not disturb, nor is it disturbed: a reset is seen in the status.
    assert http.post("/api/v1/power/reset").status == 204
    status = http.get("/api/v1/status").json
    assert status["resets"] == 1 and status["uptime_seconds"] >= time_before
    assert machine.ctl("status") == "running cpus=1 memory=192M resets=1 display=0x0"


@pytest.mark.long
def test_events_come_each_second_and_on_change(linux, rig, folder):
    machine = linux()
    url = f"http://127.0.0.1:{PORT}/api/v1/events"
    stream = rig.launch("curl", "--silent", "--no-buffer", "--noproxy", "*", "--max-time", 60, "--header",
                        f"Authorization: Bearer {token_of(machine)}", url, seconds=90)
    deadline = time.monotonic() + 60
    while stream.stdout.count("event: status") < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    machine.ctl("reset")
    while '"resets":1' not in stream.stdout and time.monotonic() < deadline:
        time.sleep(0.1)
    machine.ctl("stop")
    assert machine.wait_end() == 0
    stream.wait()
    events = [json.loads(line.removeprefix("data: ")) for line in stream.stdout.splitlines()
              if line.startswith("data: ")]
    assert len(events) >= 4
    assert [event["resets"] for event in events] == sorted(event["resets"] for event in events)
    assert events[-1]["resets"] == 1
    assert all("usage" in event for event in events)


@pytest.mark.long
def test_metrics(linux, rig, folder):
    disk = folder / "disk.img"
    with open(disk, "wb") as file:
        file.truncate(64 << 20)
    machine = linux("--disk", disk, script="dd if=/dev/vda of=/dev/null bs=1M; dd if=/dev/zero of=/dev/vda bs=1M count=8 "
                                           "conv=fsync; echo DISK-DONE; sleep 1000")
    machine.wait_serial("DISK-DONE")
    answer = client(rig, folder, machine).get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    value = {sample.name: sample.value for family in families.values() for sample in family.samples}
    assert value["casement_disk_read_bytes_total"] >= 64 << 20
    assert 8 << 20 <= value["casement_disk_written_bytes_total"] < 64 << 20
    assert value["casement_disk_flushes_total"] >= 1
    assert value["casement_disk_errors_total"] == 0
    assert value["casement_cpu_seconds_total"] > 0
    assert value["casement_guest_memory_bytes"] == 192 << 20
    assert 1 << 20 < value["casement_resident_memory_bytes"] < 1 << 30
    assert {sample.labels["phase"]: sample.value for sample in families["casement_phase"].samples} == {
        "starting": 0, "running": 1, "paused": 0, "stopping": 0}
    for family in families.values():
        assert family.type in ("counter", "gauge") and family.documentation


def test_the_token_is_said_once_and_kept(linux, rig, folder, casement):
    machine = linux()
    token = token_of(machine)
    state = machine.folder / "state"
    said = machine.log.read_text()
    assert re.fullmatch(r"[\w-]{43}", token)
    assert (state / "web-token").stat().st_mode & 0o777 == 0o600
    assert f"http://127.0.0.1:{PORT}/?token={token}" in said and said.count(token) == 1
    # What the page's address does: a session, and an address without the token.
    page = Http(rig, folder, f"http://127.0.0.1:{PORT}")
    answer = page.get(f"/?token={token}")
    assert answer.status == 303 and answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and token not in cookie
    session = f"Cookie: {cookie.split(';')[0]}"
    assert page.get("/api/v1/status", headers=[session]).status == 200
    assert page.post("/api/v1/power/button", headers=[session]).status == 403
    assert page.post("/api/v1/power/button", headers=[session, "Origin: http://evil.example"]).status == 403
    assert page.get("/api/v1/status", headers=[session, "Host: evil.example"]).status == 421
    assert token not in rig.shell("cat /proc/*/cmdline /proc/*/environ 2>/dev/null | tr '\\0' ' '").stdout
    machine.ctl("stop")
    assert machine.wait_end() == 0
    again = linux("--state", state)
    assert token not in again.log.read_text()
    assert page.get("/api/v1/status", headers=[f"Authorization: Bearer {token}"]).status == 200
    again.ctl("stop")
    assert again.wait_end() == 0


@pytest.mark.long
def test_a_password(linux, rig, folder):
    secret = folder / "password"
    secret.write_text("correct horse battery\n")
    secret.chmod(0o644)
    machine = linux("--access", "password", "--web-password-file", secret)
    said = machine.log.read_text()
    assert "other users can read it" in said and "correct horse" not in said
    http = Http(rig, folder, f"http://127.0.0.1:{PORT}")
    assert http.post("/api/v1/session", {"secret": "correct horse battery"}).status == 204
    # A thousand guesses, as fast as they go: few are looked at.
    url = f"http://127.0.0.1:{PORT}/api/v1/status"
    guesses = rig.shell(f"for n in $(seq 1000); do echo 'url = \"{url}\"'; echo 'output = /dev/null'; done >/tmp/guesses; "
                        "curl -s --noproxy '*' -H 'Authorization: Bearer guess' -w '%{http_code}\\n' -K /tmp/guesses"
                        " | sort | uniq -c", seconds=300).stdout
    counts = {int(line.split()[1]): int(line.split()[0]) for line in guesses.splitlines()}
    assert sum(counts.values()) == 1000 and counts.get(401, 0) < 20 and counts[429] > 980
    assert http.post("/api/v1/session", {"secret": "correct horse battery"}).status == 429
    assert machine.ctl("status").startswith("running")


@pytest.mark.long
def test_tls(linux, rig, folder):
    machine = linux("--web-tls", "on", "--web-host", "vm.example.com")
    state = machine.folder / "state"
    assert f"https://127.0.0.1:{PORT}/" in machine.log.read_text()
    assert (state / "web-key.pem").stat().st_mode & 0o777 == 0o600
    base = f"https://vm.example.com:{PORT}"
    http = Http(rig, folder, base, ["--cacert", state / "web-cert.pem", "--connect-to", f"vm.example.com:{PORT}:127.0.0.1:",
                                    "--header", f"Authorization: Bearer {token_of(machine)}"])
    answer = http.get("/api/v1/status")
    assert answer.status == 200 and "strict-transport-security" in answer.headers
    assert "; Secure" in http.get(f"/?token={token_of(machine)}").headers["set-cookie"]
    plain = Http(rig, folder, f"http://127.0.0.1:{PORT}").get("/healthz", check=False)
    assert plain.status == 0
    old = Http(rig, folder, base, [*http.options, "--tls-max", "1.1"]).get("/healthz", check=False)
    assert old.status == 0
    assert http.get("/healthz").status == 200
    assert machine.ctl("status").startswith("running")


def test_ctl(linux, folder):
    machine = linux()
    assert machine.ctl("status") == "running cpus=1 memory=192M resets=0 display=0x0"
    assert "us" in json.loads(machine.ctl("api", "GET", "/api/v1/layouts"))
    assert machine.ctl("pointer", 100, 200, 1, -1) == ""
    assert machine.ctl("type", "--layout", "us", "echo Hello\n") == ""
    refused = machine.ctl("pointer", 100, 32768, check=False)
    assert refused.status == 1 and "y: give an integer from 0 to 32767" in refused.stderr
    assert machine.ctl("unplug", "nothing", check=False).status == 1
    assert Image.open(machine.screenshot()).format == "PNG"
    assert machine.ctl("reset") == ""
    assert "resets=1" in machine.ctl("status")
    machine.ctl("stop")
    assert machine.wait_end() == 0
