"""Networks in the rig: the suites of this folder under Debian's kernel, and machines side by side as containers are."""
import json
import secrets
import subprocess

import machines
import pytest

TREE = machines.TREE
# The outer machine's kernel finds no modules by itself.
MODULES = ("tun veth bridge macvtap vhost_net nf_tables nft_chain_nat nft_nat nft_masq nft_ct nft_fib_ipv4 nft_fib_ipv6 nft_fib_inet "
           "nft_socket")
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
    back = rig.shell(f"ip netns exec {outside} curl -s -m 200 http://10.9.0.10/big | sha256sum", seconds=240).stdout.split()[0]
    assert back == digest
    counts = json.loads(rig.shell(f"ip -n {box} -j -s link show dev casement0").stdout)[0]["stats64"]
    mean = {way: counts[way]["bytes"] / counts[way]["packets"] for way in ("rx", "tx")}
    assert mean["rx"] > 2 * 1414 and (mean["tx"] > 2 * 1414) == (card == "virtio"), mean
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
