"""Networks in the rig: the suites of this folder under Debian's kernel, and machines side by side as containers are."""
import json
import re
import secrets
import subprocess
import time

import machines
import pytest
from programs import SCAN

TREE = machines.TREE
# The outer machine's kernel finds no modules by itself.
MODULES = ("tun veth bridge macvtap nf_tables nft_chain_nat nft_nat nft_masq nft_ct nft_fib_ipv4 nft_fib_ipv6 nft_fib_inet "
           "nft_socket vhost_net")
LEASE = """ip link set eth0 up
cat >/tmp/dhcp <<'S'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/$mask dev eth0; ip link set eth0 mtu $mtu; ip route add default via $router
echo "LEASE $ip $router $mtu"
S
chmod +x /tmp/dhcp; udhcpc -i eth0 -n -q -t 10 -O mtu -s /tmp/dhcp || exit 9
"""


@pytest.fixture
def modules(rig):
    rig.shell(f"modprobe -a {MODULES}")


# All of them take long there.
@pytest.mark.long
@pytest.mark.parametrize("which", ["nothing_is_left", "test"])
def test_the_namespaces_under_debians_kernel(rig, program, modules, which):
    if not isinstance(rig.machine, machines.Outer):
        pytest.skip("the rig is this machine, where those tests run anyway")
    run = rig.shell(f"cd {TREE} && /usr/bin/python3 -B -m pytest -q -c tests/pytest.ini --rootdir . tests/network/test_nat.py "
                    f"tests/network/test_bridge.py -k '{which}'", seconds=3000, check=False)
    assert run.status == 0 and "skipped" not in run.stdout, run.stdout[-6000:] + run.stderr[-2000:]


def test_rings_in_the_kernels_hands(rig, modules):
    """The unit test that plays the driver of a card with vhost-net, where there is one."""
    program = "build/asan/test/test_net_vhost"
    subprocess.run(["make", "-s", program], cwd=TREE, check=True, stdin=subprocess.DEVNULL)
    run = rig.shell(f"cd {TREE} && CMOCKA_MESSAGE_OUTPUT=STDOUT setarch -R {program}", seconds=900, check=False)
    assert run.status == 0 and "SKIPPED" not in run.stdout, run.stdout[-6000:] + run.stderr[-2000:]


@pytest.fixture
def boxes(rig, modules):
    """Namespaces in the rig that play containers, and "outside", all on one network: their names, and a suffix of it."""
    suffix = secrets.token_hex(3)
    outside = f"outside-{suffix}"
    names = [f"box{n}-{suffix}" for n in range(3)]
    rig.shell("set -e; " + f"ip netns add {outside}; ip -n {outside} link add br0 type bridge; "
              f"ip -n {outside} addr add 10.9.0.1/24 dev br0; ip -n {outside} link set br0 up; ip -n {outside} link set lo up; "
              + "; ".join(f"ip netns add {name}; ip -n {outside} link add p{n} type veth peer name eth0 netns {name}; "
                          f"ip -n {outside} link set p{n} mtu 1400 master br0 up; ip -n {name} link set lo up; "
                          f"ip -n {name} link set eth0 mtu 1400 up; ip -n {name} addr add 10.9.0.1{n}/24 dev eth0; "
                          f"ip -n {name} route add default via 10.9.0.1" for n, name in enumerate(names)))
    yield outside, names
    rig.shell("; ".join(f"ip netns pids {name} | xargs -r kill -9; ip netns del {name}" for name in (outside, *names)))


@pytest.mark.parametrize("card", ["virtio", pytest.param("e1000e", marks=pytest.mark.long)])
def test_large_frames(rig, casement, initrd, kernel, boxes, card):
    """Real drivers, bytes both ways, and TCP in frames larger than the MTU wherever the card's driver takes them."""
    outside, (box, *_) = boxes
    served = f"/tmp/www-{box}"
    digest = rig.shell(f"mkdir {served} && head -c 6000000 /dev/urandom >{served}/big && sha256sum <{served}/big && "
                       f"ip netns exec {outside} busybox httpd -p 80 -h {served} && until ip netns exec {outside} "
                       "curl -s -o /dev/null http://10.9.0.1/; do sleep 0.2; done").stdout.split()[0]
    script = LEASE + ("wget -q -O /tmp/big http://10.9.0.1/big || exit 7\necho \"GOT $(sha256sum </tmp/big)\"\n"
                      "mkdir /tmp/www; mv /tmp/big /tmp/www; httpd -p 80 -h /tmp/www; echo SERVING; sleep 3000")
    guest = casement("--memory", "192M", "--kernel", kernel.image, "--initrd", initrd(script), "--append", "console=ttyS0 quiet",
                     "--display", "none", "--net", "nat", "--net-card", card, wrapper=("ip", "netns", "exec", box))
    assert guest.wait_serial(r"^GOT (\w+)\s", 500).group(1) == digest
    guest.wait_serial("SERVING", 120)

    def counters(way):
        counts = json.loads(rig.shell(f"ip -n {box} -j -s link show dev casement0").stdout)[0]["stats64"][way]
        return counts["bytes"], counts["packets"]

    # One way at a time: acknowledgements of what goes the other way are as many as the receiver likes.
    size, packets = counters("tx")
    assert (size / packets > 2 * 1414) == (card == "virtio"), (size, packets)
    before = counters("rx")
    back = rig.shell(f"ip netns exec {outside} curl -s -m 200 http://10.9.0.10/big | sha256sum", seconds=240).stdout.split()[0]
    assert back == digest
    size, packets = (now - then for now, then in zip(counters("rx"), before))
    assert size > 6000000 and size / packets > 2 * 1414, (size, packets)
    guest.ctl("stop")
    assert guest.wait_end() == 0
    rig.shell(f"rm -r {served}")


@pytest.mark.long
@pytest.mark.parametrize("card", ["virtio", "e1000e"])
def test_three_containers(rig, casement, initrd, kernel, boxes, card):
    outside, names = boxes
    guests = []
    for n, name in enumerate(names):
        script = LEASE + (f"ping -c 1 -W 20 10.9.0.1 || exit 8\nmkdir /tmp/www; echo guest-{n} >/tmp/www/index.html; "
                          "dd if=/dev/zero of=/tmp/www/big bs=1M count=2; httpd -p 80 -h /tmp/www; echo SERVING; sleep 3000")
        guests.append(casement("--memory", "192M", "--kernel", kernel.image, "--initrd", initrd(script), "--append",
                               "console=ttyS0 quiet", "--display", "none", "--net", "nat", "--net-card", card, "--name", f"guest{n}",
                               wrapper=("ip", "netns", "exec", name)))
    for guest in guests:
        assert guest.wait_serial(r"^LEASE (\S+) (\S+) (\d+)\s", 400).groups() == ("172.30.0.2", "172.30.0.1", "1400")
        guest.wait_serial("SERVING", 120)

    def fetch(address, path="", check=True):
        return rig.run("ip", "netns", "exec", outside, "curl", "-s", "-m", "60", f"http://{address}/{path}", check=check).stdout

    for n in range(3):
        assert fetch(f"10.9.0.1{n}") == f"guest-{n}\n"
        assert len(fetch(f"10.9.0.1{n}", "big")) == 2 << 20
    # Killed, nothing of it is left but what was set below /proc/sys; the others go on.
    rig.shell(f"kill -9 $(ip netns pids {names[0]})")
    guests[0].run.wait(60)
    assert rig.shell(f"ip -n {names[0]} -o link | wc -l; ip netns exec {names[0]} nft list ruleset").stdout == "2\n"
    assert fetch("10.9.0.11") == "guest-1\n"
    # Ended, everything is as it was.
    guests[1].ctl("stop")
    assert guests[1].wait_end() == 0
    assert rig.shell(f"ip -n {names[1]} -o link | wc -l; ip netns exec {names[1]} nft list ruleset; "
                     f"ip netns exec {names[1]} cat /proc/sys/net/ipv4/ip_forward").stdout == "2\n0\n"
    assert fetch("10.9.0.12") == "guest-2\n"


@pytest.fixture(scope="session")
def udp_echo(tmp_path_factory):
    """What initrd() takes to put it into a guest."""
    program = tmp_path_factory.mktemp("echo") / "udp-echo"
    subprocess.run(["cc", "-O2", "-static", "-o", program, TREE / "tests/guest/udp-echo.c"], check=True)
    return {"/bin/udp-echo": program.read_bytes()}


@pytest.fixture
def guest(casement, initrd, kernel, udp_echo):
    """guest(box, script, option, ...): a machine in that namespace whose guest runs the script."""
    def start(box, script, *options, append=""):
        return casement("--memory", "192M", "--kernel", kernel.image, "--initrd", initrd(script, files=udp_echo), "--append",
                        f"console=ttyS0 quiet {append}", "--display", "none", *options, wrapper=("ip", "netns", "exec", box))

    return start


# Serves and then asks the peer, by TCP, UDP and echo requests, at addresses of both families.
SERVE = """mkdir /tmp/www; echo guest-{own} >/tmp/www/index.html; httpd -p 80 -h /tmp/www; udp-echo serve 7000 guest-{own} &
"""
ASK = """until timeout 30 wget -q -O /tmp/answer http://{host}{tcp}/; do sleep 2; done; echo "TCP{family} $(cat /tmp/answer)"
echo "UDP{family} $(udp-echo ask {address} {udp})"
"""
PING = """ping -{family} -c 1 -W 30 {address} >/tmp/ping && echo "PING{family} heard"
"""


# Busybox knows no "nodad", and shows no routes of IPv6.
ADDRESS6 = "echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad; ip addr add {address}/64 dev eth0\n"
ROUTE6 = "until grep -q '^0* 00 .*eth0$' /proc/net/ipv6_route; do sleep 1; done\n"


def ask(family, address, tcp=80, udp=7000):
    host = f"[{address}]" if ":" in address else address
    return ASK.format(family=family, address=address, host=host, tcp=f":{tcp}", udp=udp)


def ping(family, address):
    return PING.format(family=family, address=address)


def check_peers(guests, kinds):
    """Two guests have each heard the other, by each of the kinds."""
    for own, machine in enumerate(guests):
        for kind in kinds:
            said = machine.wait_serial(rf"^{kind} (\S+)\s", 400).group(1)
            assert said == ("heard" if kind.startswith("PING") else f"guest-{1 - own}"), (own, kind)


def give_six(rig, outside, names):
    rig.shell("set -e; " + "; ".join(
        [f"ip -n {outside} addr add fd09::1/64 dev br0 nodad"] +
        [f"ip -n {name} addr add fd09::1{n}/64 dev eth0 nodad; ip -n {name} -6 route add default via fd09::1"
         for n, name in enumerate(names)]))


def mac_of(n):
    return f"52:54:00:01:02:0{n}"


@pytest.mark.long
def test_guests_reach_each_other_through_their_containers(rig, guest, boxes):
    """nat: a guest is at the addresses of its container, where the container answers echo requests itself."""
    outside, names = boxes
    give_six(rig, outside, names)
    guests = []
    for n, name in enumerate(names[:2]):
        other = 1 - n
        script = (LEASE + SERVE.format(own=n) +
                  ADDRESS6.format(address=f"fd54:1:20{n}::2") + ROUTE6 +
                  ask(4, f"10.9.0.1{other}") + ping(4, f"10.9.0.1{other}") +
                  ask(6, f"fd09::1{other}") + ping(6, f"fd09::1{other}") + "echo ASKED; sleep 3000")
        guests.append(guest(name, script, "--net", "nat", "--mac", mac_of(n)))
    check_peers(guests, ["TCP4", "UDP4", "PING4", "TCP6", "UDP6", "PING6"])
    for machine in guests:
        machine.wait_serial("ASKED", 60)
        machine.ctl("stop")
        assert machine.wait_end() == 0


def serve_leases(rig, outside, count):
    """A DHCP server outside, by which the n-th guest has 10.9.0.5n: a script that takes its folder away."""
    folder = rig.shell("mktemp -d").stdout.strip()
    lines = ["start 10.9.0.60", "end 10.9.0.70", "interface br0", "opt router 10.9.0.1", "opt subnet 255.255.255.0", "opt mtu 1400",
             f"lease_file {folder}/leases", f"pidfile {folder}/pid", *(f"static_lease {mac_of(n)} 10.9.0.5{n}" for n in range(count))]
    rig.shell(f"touch {folder}/leases; printf '%s\\n' " + " ".join(f"'{line}'" for line in lines) + f" >{folder}/settings; "
              f"ip netns exec {outside} busybox udhcpd {folder}/settings >/dev/null 2>&1 </dev/null")
    return f"rm -r {folder}"


@pytest.mark.long
def test_three_containers_with_a_bridge(rig, guest, boxes):
    """Each guest is a station of its own beside its container, and hears the others without it."""
    outside, names = boxes
    forget = serve_leases(rig, outside, len(names))
    guests = []
    for n, (name, card) in enumerate(zip(names, ("virtio", "virtio", "e1000e"))):
        other = 1 - n if n < 2 else 0
        questions = ask(4, f"10.9.0.5{other}") + ping(4, f"10.9.0.5{other}") + ask(6, f"fd09::5{other}") + ping(6, f"fd09::5{other}")
        script = LEASE + SERVE.format(own=n) + ADDRESS6.format(address=f"fd09::5{n}") + questions + "echo ASKED; sleep 3000"
        guests.append(guest(name, script, "--net", "bridge", "--net-card", card, "--mac", mac_of(n)))
    for n, machine in enumerate(guests):
        assert machine.wait_serial(r"^LEASE (\S+) (\S+) (\d+)\s", 400).groups() == (f"10.9.0.5{n}", "10.9.0.1", "1400")
    kinds = ["TCP4", "UDP4", "PING4", "TCP6", "UDP6", "PING6"]
    check_peers(guests[:2], kinds)
    for kind in kinds:
        assert guests[2].wait_serial(rf"^{kind} (\S+)\s", 400).group(1) == ("heard" if kind.startswith("PING") else "guest-0")
    for n in range(3):
        assert rig.run("ip", "netns", "exec", outside, "curl", "-s", "-m", "60", f"http://10.9.0.5{n}/").stdout == f"guest-{n}\n"
    # Nothing of them stays in the containers, and the others go on.
    for n, machine in enumerate(guests):
        machine.wait_serial("ASKED", 60)
        machine.ctl("stop")
        assert machine.wait_end() == 0
        assert rig.shell(f"ip -n {names[n]} -o link | wc -l").stdout == "2\n"
        if n < 2:
            assert rig.run("ip", "netns", "exec", outside, "curl", "-s", "-m", "60", "http://10.9.0.52/").stdout == "guest-2\n"
    rig.shell(forget)


@pytest.mark.long
def test_three_containers_in_user_mode(rig, guest, boxes):
    """No right is needed, and what is forwarded is all that comes in."""
    outside, names = boxes
    guests = []
    for n, name in enumerate(names):
        other = 1 - n if n < 2 else 0
        script = (LEASE + SERVE.format(own=n) + ask(4, f"10.9.0.1{other}", tcp=8080, udp=7070) + "echo ASKED; sleep 3000")
        guests.append(guest(name, script, "--net", "user", "--forward", "0.0.0.0:8080:80", "--forward", "0.0.0.0:7070:7000/udp"))
    check_peers(guests[:2], ["TCP4", "UDP4"])
    for kind in ("TCP4", "UDP4"):
        assert guests[2].wait_serial(rf"^{kind} (\S+)\s", 400).group(1) == "guest-0"
    for n in range(3):
        scan = rig.run("ip", "netns", "exec", outside, "/usr/bin/python3", "-c", SCAN, f"10.9.0.1{n}", "1-10000", seconds=600).stdout
        assert scan == "8080 silent 0\n"
    for machine in guests:
        machine.wait_serial("ASKED", 60)
        machine.ctl("stop")
        assert machine.wait_end() == 0


@pytest.mark.long
def test_a_scan_finds_what_the_guest_has(rig, guest, boxes):
    """nat: the guest's open ports, but for those that the container keeps; the page is the container's."""
    outside, (box, *_) = boxes
    servers = "; ".join(f"httpd -p {port} -h /tmp" for port in (80, 81, 3389, 8006, 50000))
    machine = guest(box, LEASE + f"{servers}; echo SERVING; sleep 3000", "--net", "nat", "--web", "0.0.0.0:8006", "--host-port", "81-90")
    machine.wait_serial("SERVING", 500)
    scan = rig.run("ip", "netns", "exec", outside, "/usr/bin/python3", "-c", SCAN, "10.9.0.10", "1-4000,7990-8010,49990-50010",
                   seconds=800).stdout
    assert scan == "80 3389 8006 50000 silent 0\n"
    page = rig.run("ip", "netns", "exec", outside, "curl", "-s", "-m", "60", "http://10.9.0.10:8006/").stdout
    assert "<html" in page.lower()
    machine.ctl("stop")
    assert machine.wait_end() == 0


def totals(rig, box):
    """Bytes of the guest's frames, received and sent, as the API counts them."""
    text = rig.run("ip", "netns", "exec", box, "curl", "-s", "-m", "60", "http://127.0.0.1:8006/metrics").stdout
    return [int(re.search(rf"^casement_network_{way}_bytes_total (\d+)$", text, re.MULTILINE).group(1))
            for way in ("receive", "transmit")]


def test_the_hosts_kernel_carries_the_frames(rig, guest, boxes):
    """vhost-net: bytes both ways, before and behind a reset of the driver, and numbers that count what the process never sees."""
    outside, (box, *_) = boxes
    size, served = 6000000, f"/tmp/www-{box}"
    digest = rig.shell(f"test -c /dev/vhost-net && mkdir {served} && head -c {size} /dev/urandom >{served}/big && "
                       f"sha256sum <{served}/big && ip netns exec {outside} busybox httpd -p 80 -h {served} && "
                       f"until ip netns exec {outside} curl -s -o /dev/null http://10.9.0.1/; do sleep 0.2; done").stdout.split()[0]
    script = ("ip link set eth0 mtu 1400 up; ip addr add 10.9.0.50/24 dev eth0\nmkdir /tmp/www; "
              "until timeout 60 wget -q -O /tmp/www/big http://10.9.0.1/big; do sleep 2; done\n"
              "echo \"GOT $(sha256sum </tmp/www/big)\"; httpd -p 80 -h /tmp/www; echo SERVING\n"
              "until wget -q -O /dev/null http://10.9.0.1/go-on; do sleep 1; done")
    machine = guest(box, script, "--net", "bridge", "--net-card", "virtio", "--web", "127.0.0.1:8006", "--access", "open",
                    append="casement.end=reboot")
    for boot in (1, 2):
        assert machine.wait_serial(r"^GOT (\w+)\s", 500).group(1) == digest
        machine.wait_serial("SERVING", 120)
        back = rig.shell(f"ip netns exec {outside} curl -s -m 200 http://10.9.0.50/big | sha256sum", seconds=240).stdout.split()[0]
        assert back == digest
        # They are looked up from time to time.
        deadline = time.monotonic() + 60
        while min(totals(rig, box)) < boot * size:
            assert time.monotonic() < deadline, totals(rig, box)
            time.sleep(1)
        if boot == 1:
            rig.shell(f"touch {served}/go-on")
            machine.wait_serial("GUEST-STARTED", 400)
            rig.shell(f"rm {served}/go-on")
    assert max(totals(rig, box)) < 4 * size
    assert machine.log.read_text().count("the host's kernel carries the guest's frames (vhost-net)") >= 1
    machine.ctl("stop")
    assert machine.wait_end() == 0
    rig.shell(f"rm -r {served}")
