"""Debian's drivers on our devices: the kernel's log, ACPI tables, disks under verification, the network."""
import base64
import os
import re
import subprocess
import time

import guest_image
import pytest

# Words of a kernel log that speak of trouble, and the lines that are known, each with its reason.
TROUBLE = re.compile(r"error|warning|\bbug\b|conflict|failed", re.IGNORECASE)
ABOUT = re.compile(r"ACPI|PCI|firmware|APIC|TSC|virtio", re.IGNORECASE)
KNOWN = [
    r"XSAVE consistency problem|WARNING: CPU: .*xstate",  # the emulated outer processor's own, under any monitor
    r"use \"pci=nocrs\" and report a bug",                # printed at every boot with ACPI windows
    r"not a bug",                                         # the absent IOMMU
    r"TSCs unsynchronized|Marking TSC unstable",          # the outer machine's two emulated processors
]


@pytest.fixture
def linux(casement, initrd, kernel):
    def start(script, *options, layers=(), append="", memory="256M", **settings):
        return casement("--memory", memory, "--kernel", kernel.image, "--initrd", initrd(script, layers), "--append",
                        f"console=ttyS0 quiet {append}", *options, **settings)

    return start


def spans(pattern, text):
    """What the pattern finds as (first, last) addresses."""
    return [(int(first, 16), int(last, 16)) for first, last in re.findall(pattern, text)]


def check_memory_map(log, rest):
    """e820, MTRRs and ECAM agree: RAM is cached, what is a device's is not, and nothing is both."""
    ram = spans(r"BIOS-e820: \[mem 0x(\w+)-0x(\w+)\] usable", log)
    reserved = spans(r"BIOS-e820: \[mem 0x(\w+)-0x(\w+)\] reserved", log)
    uncached = []
    for base, size, unit in re.findall(r"^reg\d+: base=0x(\w+) .*size=\s*(\d+)([KMG])B.*: uncachable", rest, re.MULTILINE):
        length = int(size) << {"K": 10, "M": 20, "G": 30}[unit]
        uncached.append((int(base, 16), int(base, 16) + length - 1))
    ecam, = spans(r"MMCONFIG for domain 0000 \[bus 00-ff\] at \[mem 0x(\w+)-0x(\w+)\]", log)
    assert ecam[1] - ecam[0] == (256 << 20) - 1
    assert ram and uncached

    def within(inner, outers):
        return any(first <= inner[0] and inner[1] <= last for first, last in outers)

    def meets(one, others):
        return any(first <= one[1] and one[0] <= last for first, last in others)

    assert not [span for span in ram if meets(span, uncached) or meets(span, [ecam])]
    assert within(ecam, uncached)
    assert within(ecam, reserved) or "reserved in ACPI motherboard resources" in log
    bars = spans(r"(?m)^  (?:  )*(\w{8})-(\w{8}) : (?:0000:|virtio-pci|PCI Bus)", rest)
    low = [span for span in bars if 1 << 31 <= span[0]]
    assert low and all(within(span, uncached) for span in low)


@pytest.mark.parametrize("boot", ["direct", "firmware"])
def test_kernel_log_and_tables(linux, casement, initrd, image, folder, boot):
    names = "FACP DSDT APIC MCFG WAET FACS"
    # What the kernel says at any time, of a lost tick in the emulator too, must not come between what is read here.
    script = ("echo 0 >/proc/sys/kernel/printk\n"
              f"for t in {names}; do echo TABLE $t; base64 /sys/firmware/acpi/tables/$t; done; echo TABLES-END\n"
              "dmesg; echo LOG-END; grep virtio /proc/interrupts; cat /proc/mtrr; cat /proc/iomem; echo ALL")
    if boot == "direct":
        machine = linux(script, "--cpus", "2", "--disk", image(8), append="loglevel=3")
    else:
        disk = guest_image.boot_disk(folder / "disk", initrd(script), "console=ttyS0 quiet loglevel=3")
        machine = casement("--memory", "512M", "--cpus", "2", "--disk", f"{disk},readonly")
    assert machine.guest_status(500) == 0
    text = machine.serial.replace("\r", "")
    text = text[text.index("GUEST-STARTED"):]
    tables, log = text.split("TABLES-END\n", 1)
    log, rest = log.split("LOG-END\n", 1)
    bad = [line for line in log.splitlines() if TROUBLE.search(line) and ABOUT.search(line)
           and not any(re.search(known, line) for known in KNOWN)]
    assert not bad, "\n".join(bad)
    # MSI-X on every queue: blk has one for each vCPU, net three and its configuration.
    assert len(re.findall(r"PCI-MSI.*virtio\d+-(req|input|output)", rest)) >= 5
    check_memory_map(log, rest)
    for chunk in tables.split("TABLE ")[1:]:
        name, data = chunk.split("\n", 1)
        table = folder / f"{name}.dat"
        table.write_bytes(base64.b64decode(data.split("GUEST")[0]))
        if name == "FACS":
            continue
        subprocess.run(["iasl", "-d", table], cwd=folder, check=True, capture_output=True)
        answer = subprocess.run(["iasl", folder / f"{name}.dsl"], cwd=folder, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stdout
        if name == "DSDT":
            assert "0 Errors, 0 Warnings" in answer.stdout + answer.stderr, answer.stdout
    (folder / "disk").unlink(missing_ok=True)


@pytest.mark.parametrize("engine", ["io_uring", pytest.param("threads", marks=pytest.mark.long)])
@pytest.mark.parametrize("cpus", [1, 4] if os.environ.get("LONG") == "1" else [1])
def test_disk_under_verification(linux, image, rig, engine, cpus):
    path = image(64)
    script = ("fio --name=v --filename=/dev/vda --rw=randwrite --bsrange=512-64k --bs_unaligned=0 --blockalign=512 "
              "--size=12M --direct=1 --ioengine=psync --verify=crc32c --verify_fatal=1 --fsync=64 --output-format=terse "
              ">/tmp/fio || { cat /tmp/fio; exit 1; }\n"
              "cat /sys/block/vda/mq/*/cpu_list | wc -l\n")
    machine = linux(script, "--cpus", cpus, "--disk", f"{path},engine={engine},queues={cpus},serial=SN-42",
                    layers=["fio"], memory="512M")
    assert machine.guest_status(600) == 0
    assert machine.wait_end() == 0


def test_discard_frees_and_zeroes(linux, image, rig):
    path = image(32)
    script = ("cat /sys/block/vda/serial; echo; dd if=/dev/urandom of=/dev/vda bs=1M count=32 oflag=direct && sync\n"
              "blkdiscard -o 0 -l $((24<<20)) /dev/vda || exit 1\n"
              "[ $(dd if=/dev/vda bs=1M count=24 iflag=direct | tr -d '\\000' | wc -c) = 0 ] || exit 3\n")
    machine = linux(script, "--disk", f"{path},serial=SN-42")
    assert machine.guest_status() == 0
    assert "SN-42" in machine.serial
    assert machine.wait_end() == 0
    assert int(rig.shell(f"du -k {path}").stdout.split()[0]) <= 9 << 10


def test_read_only_disk(linux, image, rig):
    path = image(8)
    before = rig.shell(f"md5sum {path}").stdout
    machine = linux("cat /sys/block/vda/ro | grep 1 && ! dd if=/dev/zero of=/dev/vda bs=4k count=1", "--disk",
                    f"{path},readonly")
    assert machine.guest_status() == 0
    assert rig.shell(f"md5sum {path}").stdout == before


LEASE = """ip link set eth0 up
cat >/tmp/dhcp <<'S'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/24 dev eth0; ip route add default via $router; echo "nameserver $dns" >/etc/resolv.conf
S
chmod +x /tmp/dhcp; udhcpc -i eth0 -n -q -s /tmp/dhcp || exit 9
"""
SERVER = """
import hashlib, socket, sys, threading
data = hashlib.shake_128(b"casement").digest(int(sys.argv[1]))
listener = socket.create_server(("127.0.0.1", 0))
print("PORT", listener.getsockname()[1], flush=True)
def serve(peer):
    with peer:
        want = peer.recv(1)
        if want == b"d":
            peer.sendall(data)
        elif want == b"u":
            got, left = hashlib.md5(), len(data)
            while left and (block := peer.recv(65536)):
                got.update(block)
                left -= len(block)
            print("UP", got.hexdigest(), flush=True)
        else:
            peer.sendall(b"pong")
print("MD5", hashlib.md5(data).hexdigest(), flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


@pytest.mark.parametrize("card", ["virtio", "e1000e"])
def test_network_in_and_out(linux, rig, folder, card):
    megabytes = 64 if os.environ.get("LONG") == "1" else 8
    connections = 1000 if os.environ.get("LONG") == "1" else 50
    (folder / "server.py").write_text(SERVER)
    server = rig.launch("python3", folder / "server.py", megabytes << 20, seconds=600)
    try:
        while "MD5" not in server.stdout:
            assert server.status is None, server.stderr
        port = re.search(r"PORT (\d+)", server.stdout).group(1)
        want = re.search(r"MD5 (\w+)", server.stdout).group(1)
        script = LEASE + ("cat /proc/interrupts; readlink /sys/class/net/eth0/device/driver\n"
                          f"(printf d; sleep 1) | nc 10.0.2.2 {port} >/tmp/data; md5sum /tmp/data; "
                          f"(printf u; cat /tmp/data) | nc 10.0.2.2 {port}\n"
                          f"i=0; while [ $i -lt {connections} ]; do i=$((i+1)); (printf p; sleep 0) | nc 10.0.2.2 {port} "
                          ">>/tmp/pongs; done; grep -o pong /tmp/pongs | wc -l\n"
                          "echo SERVING; echo from-the-guest | nc -l -p 80 && echo DONE\n")
        machine = linux("echo BEGIN\n" + script, "--forward", "18080:80", "--net-card", card, memory="384M")
        machine.wait_serial("BEGIN")
        descriptors = machine.resources()[0]
        machine.wait_serial(rf"^{want}", 400)
        machine.wait_serial(rf"^{connections}\r?$", 600)
        machine.wait_serial("SERVING")
        assert re.search(r"PCI-MSI.*(virtio0-input|eth0-rx)", machine.serial)
        assert f"drivers/{'e1000e' if card == 'e1000e' else 'virtio_net'}" in machine.serial
        deadline = time.monotonic() + 120
        while (now := machine.resources()[0]) > descriptors:  # closed connections are kept until their peers know it
            assert time.monotonic() < deadline, f"{now} descriptors after {connections} connections, {descriptors} before"
            time.sleep(1)
        answer = rig.shell("for i in $(seq 20); do x=$(timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/18080; cat <&3'); "
                           "[ -n \"$x\" ] && break; sleep 1; done; echo $x").stdout
        assert "from-the-guest" in answer
        assert re.search(rf"UP {want}", server.stdout)
        assert machine.guest_status() == 0
    finally:
        server.kill()


@pytest.mark.long
def test_a_forward_that_is_taken_is_refused(linux, rig):
    first = linux("sleep 600", "--forward", "18081:80")
    first.wait_serial("GUEST-STARTED")
    second = linux("true", "--forward", "18081:80")
    assert second.wait_end() == 2
    text = second.log.read_text()
    assert "18081" in text and "in use" in text and text.count("\n") == 1
