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


def speed(machine, times):
    """
    What the guest does from now on in a second of its vCPU's own processor time: an attacker on the same processors takes time from
    it, which no monitor can help, but must not make it slower in the time that it has.
    """
    begun = vcpu_seconds(machine)
    had = machine.serial.count("ROUNDS=")
    while machine.serial.count("ROUNDS=") < had + times:
        machine.wait_serial(r"^ROUNDS=\d+\s")
    done = [int(count) for count in re.findall(r"ROUNDS=(\d+)\s", machine.serial)[had:]]
    return sum(done) / (vcpu_seconds(machine) - begun)


def vcpu_seconds(machine):
    """Of user, kernel and guest time, in the rig."""
    script = "for t in /proc/$1/task/*; do grep -qx vcpu0 $t/comm && sed 's/.*) //' $t/stat | cut -d' ' -f12,13; done; getconf CLK_TCK"
    user, kernel, ticks = map(int, machine.rig.run("bash", "-c", script, "vcpu", machine.pid()).stdout.split())
    return (user + kernel) / ticks


@pytest.mark.long
def test_attacks_are_bounded_and_the_guest_is_not_slower(casement, initrd, kernel, rig, folder):
    machine = casement("--memory", "192M", "--cpus", "1", "--kernel", kernel.image, "--initrd", initrd(COUNT),
                       "--append", "console=ttyS0 quiet", "--web", PORT)
    machine.wait_serial(r"^ROUNDS=")
    token = (machine.folder / "state/web-token").read_text().strip()
    http = Http(rig, folder, f"http://127.0.0.1:{PORT}", ["--header", f"Authorization: Bearer {token}"])
    quiet = speed(machine, 6)
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
    attacked = speed(machine, 6)
    print(f"rounds in a second of the vCPU: {quiet:.0f} quiet, {attacked:.0f} under attack; {result}")
    assert attacked > 0.7 * quiet
    attack.input(b"")
    attack.kill()
    machine.ctl("stop")
    assert machine.wait_end() == 0
