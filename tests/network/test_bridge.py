"""--net bridge: the guest is a station of the box's network, and takes its address from a server outside."""
import json

import pytest
from programs import ECHO
from test_nat import ask
from world import MAC, kill, stop

NAME = "casement" + MAC.replace(":", "")[6:]
# A container's /dev: not the kernel's, with only what is asked for.
OWN_DEV = "mount -t tmpfs none /dev && mkdir /dev/net && mknod /dev/net/tun c 10 200 && mknod /dev/null c 1 3"


@pytest.fixture
def lan(world):
    """The world, with a DHCP server outside and a free interface eth1 in the box, on the same network."""
    world.run("outside", "ip link add br0 type bridge && ip addr flush dev eth0 && ip link set eth0 master br0 && "
                         "ip addr add 10.9.0.1/24 dev br0 && ip link set br0 up")
    world.run("outside", f"ip link add eth1 type veth peer name eth1 netns {world.names['box']} && "
                         "ip link set eth1 master br0 up")
    world.run("box", "ip link set eth1 up")
    settings = world.folder / "udhcpd.conf"
    settings.write_text(f"start 10.9.0.50\nend 10.9.0.60\ninterface br0\nopt router 10.9.0.1\nopt subnet 255.255.255.0\nopt mtu 1500\n"
                        f"opt lease 600\nlease_file {world.folder}/leases\npidfile {world.folder}/pid\n")
    (world.folder / "leases").touch()
    world.start("outside", f"exec busybox udhcpd -f {settings}")
    return world


def links(world):
    return {link["ifname"]: link for link in json.loads(world.run("box", "ip -j -d link"))}


def check_station(world):
    """The guest has an address of its own, and speaks with others both ways."""
    lease = world.lease()
    assert lease["ip"].startswith("10.9.0.5") and lease["serverid"] == "10.9.0.1"
    world.serve("guest", ECHO, "guest", "80")
    world.serve("outside", ECHO, "outside", "81")
    for kind in ("tcp", "udp"):
        assert ask(world, "outside", kind, lease["ip"], 80).startswith("guest ::ffff:10.9.0.1")
        assert ask(world, "guest", kind, "10.9.0.1", 81).startswith(f"outside ::ffff:{lease['ip']}")
    # Neighbour discovery is by multicast to a group that only the guest knows.
    world.run("guest", "ip addr add fd77::77/64 dev eth0 nodad")
    world.run("outside", "ip addr add fd77::1/64 dev br0 nodad; ping -c 1 -W 5 fd77::77")
    return lease["ip"]


def test_a_macvtap(lan):
    before = lan.picture()
    process = lan.casement("--net", "bridge")
    made = links(lan)[NAME]
    assert made["linkinfo"]["info_kind"] == "macvtap" and made["address"] == MAC
    check_station(lan)
    stop(process)
    assert lan.picture() == before


def test_a_macvtap_in_a_container(lan):
    """Its /dev has no such node, and keeps none."""
    process = lan.casement("--net", "bridge", before=OWN_DEV)
    check_station(lan)
    assert lan.run("box", f"ls /proc/{process.pid}/root/dev | grep tap", check=False).stdout == ""
    stop(process)
    assert NAME not in links(lan)


def test_a_macvtap_after_a_kill(lan):
    before = lan.picture()
    process = lan.casement("--net", "bridge")
    address = lan.lease()["ip"]
    kill(process)
    assert NAME in links(lan)
    process = lan.casement("--net", "bridge")
    assert lan.lease()["ip"] == address
    stop(process)
    assert lan.picture() == before


def test_a_bridge_that_is_there(lan):
    lan.run("box", "ip link add virbr7 type bridge && ip link set eth1 master virbr7 && ip link set virbr7 up")
    before = lan.picture()
    for named in ("virbr7", "eth1"):
        process = lan.casement("--net", "bridge", "--net-interface", named)
        assert links(lan)["casement0"]["master"] == "virbr7"
        check_station(lan) if named == "eth1" else lan.lease()
        kill(process)
        assert lan.picture() == before


def test_a_bridge_of_our_own(lan):
    """Where no macvtap can be had, for an interface that nobody uses."""
    before = lan.picture()
    for number, end in enumerate((stop, kill, stop)):
        process = lan.casement("--net", "bridge", "--net-interface", "eth1", before=OWN_DEV,
                               wrapper="setpriv --bounding-set=-mknod")
        made = links(lan)
        assert made[NAME]["linkinfo"]["info_kind"] == "bridge"
        assert made["eth1"]["master"] == made["casement0"]["master"] == NAME
        check_station(lan) if number == 0 else lan.lease()
        end(process)
    assert lan.picture() == before


REFUSALS = {
    "right": ("true", "setpriv --bounding-set=-net_admin", (), "--cap-add NET_ADMIN"),
    "node": (OWN_DEV, "setpriv --bounding-set=-mknod", (), "--cap-add MKNOD and --device-cgroup-rule 'c "),
    "in use": (OWN_DEV, "setpriv --bounding-set=-mknod", ("--net-interface", "eth0"), "--cap-add MKNOD"),
    "route": ("ip route del default; ip -6 route del default", "", (), "no default route"),
    "loopback": ("true", "", ("--net-interface", "lo"), "lo is no Ethernet interface"),
    "forward": ("true", "", ("--forward", "80:80"), "--forward: excluded by --net bridge"),
    "sysfs": ("umount -l /sys", "", (), "mount the container's own /sys"),
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_what_is_missing_is_said_in_one_line(world, reason):
    before, wrapper, options, remedy = REFUSALS[reason]
    links_before = links(world).keys()
    text = world.refusal("--net", "bridge", *options, before=before, wrapper=wrapper)
    assert text.count("\n") == 1 and remedy in text
    assert links(world).keys() == links_before
