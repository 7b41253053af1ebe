"""A web server under attack: refused or bounded, and the guest goes on at its own speed."""
import json
import re
import time

import machines
import pytest
from http_client import Http

PORT = 8006
# Rounds of a loop that the guest does in five seconds of its own, over and over.
COUNT = ("while :; do n=0; read s r </proc/uptime; e=$((${s%.*}+5)); while read s r </proc/uptime; [ ${s%.*} -lt $e ]; "
         "do n=$((n+1)); done; echo ROUNDS=$n; done")


def rounds(machine, times):
    """The median of so many rounds that begin from now on."""
    had = machine.serial.count("ROUNDS=")
    while machine.serial.count("ROUNDS=") < had + 1 + times:
        machine.wait_serial(r"^ROUNDS=\d+")
    return sorted(int(count) for count in re.findall(r"ROUNDS=(\d+)\s", machine.serial)[had + 1:])[times // 2]


@pytest.mark.long
def test_attacks_are_bounded_and_the_guest_is_not_slower(casement, initrd, kernel, rig, folder):
    machine = casement("--memory", "192M", "--cpus", "1", "--kernel", kernel.image, "--initrd", initrd(COUNT),
                       "--append", "console=ttyS0 quiet", "--web", PORT)
    machine.wait_serial(r"^ROUNDS=")
    token = (machine.folder / "state/web-token").read_text().strip()
    http = Http(rig, folder, f"http://127.0.0.1:{PORT}", ["--header", f"Authorization: Bearer {token}"])
    quiet = rounds(machine, 5)
    before = http.get("/api/v1/status").json["usage"]["memory_resident_bytes"]
    attack = rig.launch("/usr/bin/python3", machines.TREE / "tests/lib/web_attack.py", PORT, token, seconds=600)
    deadline = time.monotonic() + 400
    while not attack.stdout.endswith("}\n"):
        assert attack.status is None and time.monotonic() < deadline, attack.stderr
        time.sleep(0.1)
    result = json.loads(attack.stdout)
    # What the kernel holds between the two counts as sent.
    assert result["header"] < 64 << 20
    assert result["half_open"] < 60
    assert result["viewers"] <= 200
    status = http.get("/api/v1/status").json
    assert status["phase"] == "running"
    assert status["usage"]["memory_resident_bytes"] - before < 64 << 20
    attacked = rounds(machine, 5)
    print(f"rounds: {quiet} quiet, {attacked} under attack; {result}")
    assert attacked > 0.9 * quiet
    attack.input(b"")
    attack.kill()
    machine.ctl("stop")
    assert machine.wait_end() == 0
