"""--net nat, from the guest, from outside, and from the box that must be left as it was found."""
import json
import re

import pytest
from programs import ASK, BULK, DHCP6, ECHO, LOOK_UP, NAMES, SCAN
from world import MAC, kill, stop, until

OWN = 8006  # the page's, which no test starts


def ask(world, role, kind, address, port, size=100, seconds=10):
    return world.python(role, ASK, kind, address, port, size, seconds).strip()


def six(world):
    """Both IPv6 addresses of the guest have come."""
    world.lease()
    address, server = world.python("guest", DHCP6).split()
    until(lambda: "default via fe80::1" in world.run("guest", "ip -6 route"), "no router advertisement")
    return address, server


def test_the_lease(world):
    world.casement("--net", "nat", "--name", "winston")
    lease = world.lease()
    assert (lease["ip"], lease["mask"], lease["router"], lease["dns"]) == ("172.30.0.2", "24", "172.30.0.1", "172.30.0.1")
    assert (lease["mtu"], lease["lease"], lease["serverid"], lease["hostname"]) == ("1500", "86400", "172.30.0.1", "winston")


def test_the_way_out(world):
    world.casement("--net", "nat")
    six(world)
    world.run("guest", f"ping -c 1 -W 5 172.30.0.1 && ping -c 1 -W 5 {world.gateway} && ping -c 1 -W 5 fd09::1")
    world.serve("outside", ECHO, "outside", "7000")
    for kind in ("tcp", "udp"):
        assert ask(world, "guest", kind, world.gateway, 7000).startswith(f"outside ::ffff:{world.address}")
        assert ask(world, "guest", kind, "fd09::1", 7000).startswith(f"outside {world.address6}")
    assert ask(world, "guest", "udp", world.gateway, 7000, size=9000).endswith("9000")


def test_all_ports_lead_into_the_guest(world):
    world.casement("--net", "nat")
    six(world)
    ports = [1, 22, 53, 67, 80, 443, 547, 3389, 5900, 32768, 65535]
    world.serve("guest", ECHO, "guest", ",".join(map(str, [*ports, OWN])))
    for kind in ("tcp", "udp"):
        for port in ports:
            assert ask(world, "outside", kind, world.address, port).startswith(f"guest ::ffff:{world.gateway}"), (kind, port)
            assert ask(world, "outside", kind, world.address6, port).startswith("guest fd09::1"), (kind, port)
    for address in (world.address, world.address6):
        assert ask(world, "outside", "tcp", address, OWN) == "refused"


def test_who_listens_in_the_box_keeps_the_port(world):
    world.casement("--net", "nat")
    world.lease()
    world.serve("guest", ECHO, "guest", "2000,2001")
    world.serve("box", ECHO, "box", "2000")
    for kind in ("tcp", "udp"):
        assert ask(world, "outside", kind, world.address, 2000).startswith("box")
        assert ask(world, "outside", kind, world.address, 2001).startswith("guest")


def test_a_scan_finds_what_the_guest_has(world):
    world.casement("--net", "nat", "--host-port", "2000-2009")
    six(world)
    ports = [1, 79, 2000, 2009, 2010, 53535, 65535, OWN]
    world.serve("guest", ECHO, "guest", ",".join(map(str, ports)))
    for address, tried in ((world.address, "1-65535"), (world.address6, "1-3000,7990-8020,53000-54000,65535")):
        assert world.python("outside", SCAN, address, tried, seconds=900) == "1 79 2010 53535 65535 silent 0\n"


def test_ports_that_are_kept_from_the_guest(world):
    world.casement("--net", "nat", "--host-port", "2000", "--host-port", "3000-3002", "--host-port", "4000/udp")
    six(world)
    world.serve("guest", ECHO, "guest", "2000,2999,3000,3002,3003,4000")
    for address in (world.address, world.address6):
        answers = {(kind, port): ask(world, "outside", kind, address, port, seconds=3).split()[0]
                   for kind, ports in (("tcp", (2000, 2999, 3000, 3002, 3003, 4000)), ("udp", (2000, 4000))) for port in ports}
        kept = {("tcp", 2000), ("tcp", 3000), ("tcp", 3002), ("udp", 4000)}
        assert answers == {each: "refused" if each in kept else "guest" for each in answers}


def test_a_forward_leads_to_another_port(world):
    world.casement("--net", "nat", "--forward", "8080:80", "--forward", "9090:90/udp", "--forward", f"{world.address}:7070:70")
    six(world)
    world.serve("guest", ECHO, "guest", "80,90,70")
    for address in (world.address, world.address6):
        assert ask(world, "outside", "tcp", address, 8080).startswith("guest")
        assert ask(world, "outside", "udp", address, 9090).startswith("guest")
        assert ask(world, "outside", "udp", address, 8080) == "refused"
    assert ask(world, "outside", "tcp", world.address, 7070).startswith("guest")
    assert ask(world, "outside", "tcp", world.address6, 7070) == "refused"


@pytest.mark.parametrize("mtu, card", [(1400, "virtio"), (1500, "plain"), (1500, "virtio"), (9000, "plain"), (9000, "virtio")])
def test_the_mtu_is_that_of_the_way_out(make_world, mtu, card):
    world = make_world(mtu=mtu, card=card)
    world.casement("--net", "nat")
    world.run("guest", "ip link set eth0 up")
    assert world.lease()["mtu"] == str(mtu)
    until(lambda: f"mtu {mtu}" in world.run("guest", "ip -6 route get fd09::1 2>&1; cat /proc/sys/net/ipv6/conf/eth0/mtu | "
                                                     "sed 's/^/mtu /'", check=False).stdout, "no MTU by router advertisement")
    world.serve("outside", BULK, "serve", "7001")
    world.serve("guest", BULK, "serve", "7002")
    assert world.python("guest", BULK, "ask", world.gateway, 7001, 3 << 20) == "same\n"
    assert world.python("outside", BULK, "ask", world.address, 7002, 3 << 20) == "same\n"


@pytest.mark.parametrize("card", ["plain", "virtio"])
def test_large_frames_are_cut_by_the_last_one(make_world, card):
    """TCP goes in frames larger than the MTU through the TAP wherever the receiver takes them."""
    world = make_world(card=card)
    world.casement("--net", "nat")
    world.lease()
    world.serve("outside", BULK, "serve", "7001", "one-way")
    world.serve("guest", BULK, "serve", "7002", "one-way")

    def counters(way):
        return json.loads(world.run("box", "ip -j -s link show dev casement0"))[0]["stats64"][way]

    def mean(way, role, address, port):
        """One way at a time: the other's acknowledgements are as many as the receiver likes."""
        before = counters(way)
        assert world.python(role, BULK, "ask", address, port, 8 << 20, "one-way") == "same\n"
        size, packets = (counters(way)[each] - before[each] for each in ("bytes", "packets"))
        assert size > 8 << 20
        return size / packets

    sent, received = mean("rx", "guest", world.gateway, 7001), mean("tx", "outside", world.address, 7002)
    assert sent > 1514 * 2, sent
    assert (received > 1514 * 2) == (card == "virtio"), received


def test_tcp_is_told_the_mtu_where_the_guest_is_not(make_world):
    world = make_world(mtu=1400)
    world.casement("--net", "nat")
    world.lease()
    world.run("guest", "ip link set eth0 mtu 1500; ip route flush cache")
    world.serve("outside", BULK, "serve", "7001")
    assert world.python("guest", BULK, "ask", world.gateway, 7001, 1 << 20) == "same\n"


def test_names(world):
    world.casement("--net", "nat")
    server = world.serve("outside", NAMES, world.gateway, "answers")
    address, server6 = six(world)
    assert address == "fd54:1:203::2" and server6 == "fd54:1:203::1"
    for at in ("172.30.0.1", server6):
        for kind in ("udp", "tcp"):
            assert world.python("guest", LOOK_UP, kind, at, "a.example.org") == "192.0.2.31\n", (at, kind)
    server.kill()
    asked = re.findall(r"asked from port (\d+) id (\w+)", (world.folder / "started.log").read_text())
    assert len(asked) == 2 and len({port for port, _ in asked}) == 2 and "1234" not in {number for _, number in asked}


def test_names_when_a_server_is_silent_or_none_is_there(world):
    world.run("outside", "ip addr add 10.9.0.7/24 dev eth0")
    world.resolv.write_text(f"nameserver 10.9.0.8\nnameserver 10.9.0.7\nnameserver {world.gateway}\n")
    process = world.casement("--net", "nat")
    world.lease()
    silent = world.serve("outside", NAMES, "10.9.0.7", "silent")
    answers = world.serve("outside", NAMES, world.gateway, "answers")
    assert world.python("guest", LOOK_UP, "udp", "172.30.0.1", "b.example.org") == "192.0.2.31\n"
    silent.kill()
    answers.kill()
    assert world.python("guest", LOOK_UP, "udp", "172.30.0.1", "b.example.org") == "failure\n"
    stop(process)


def test_names_when_the_servers_change(world):
    world.resolv.write_text("")
    world.casement("--net", "nat")
    world.lease()
    world.serve("outside", NAMES, world.gateway, "answers")

    def answer(kind):
        return world.python("guest", LOOK_UP, kind, "172.30.0.1", "c.example.org")

    assert answer("udp") == "failure\n"
    world.resolv.write_text(f"nameserver {world.gateway}\n")
    until(lambda: answer("udp") == "192.0.2.31\n", "the new server is not asked")
    world.resolv.write_text("")  # as it is while somebody writes it
    assert answer("tcp") == answer("udp") == "192.0.2.31\n"


def test_the_private_network_gives_way(make_world):
    world = make_world(box="172.30.0.9/16")
    world.resolv.write_text("nameserver 172.31.0.4\n")
    world.casement("--net", "nat")
    assert world.lease()["ip"] == "172.31.1.2"
    world.run("guest", f"ping -c 1 -W 5 {world.gateway}")


def test_the_guest_reaches_only_names_in_the_box(world):
    world.casement("--net", "nat")
    world.lease()
    world.serve("box", ECHO, "box", "8006,2000")
    for kind in ("tcp", "udp"):
        assert ask(world, "guest", kind, "172.30.0.1", 2000, seconds=1).startswith("silent")
        assert ask(world, "guest", kind, world.address, 8006, seconds=1).startswith("silent")
    assert ask(world, "outside", "tcp", world.address, 8006).startswith("box")


def test_the_shared_folders_are_for_the_guest_alone(world, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kept").write_text(f"in the folder {name}\n")
    world.casement("--net", "nat", "--share", str(tmp_path / "one"), "--share", str(tmp_path / "two"), "--share-readonly")
    world.lease()
    for port, name in ((80, "one"), (81, "two")):
        assert world.run("guest", f"busybox wget -q -O - http://10.0.2.4:{port}/kept") == f"in the folder {name}\n"
        assert re.match("refused|silent", ask(world, "box", "tcp", "10.0.2.4", port, seconds=3))
    for port in (82, OWN):
        assert ask(world, "guest", "tcp", "10.0.2.4", port, seconds=3).startswith("silent")
    # Who sends to that address from outside comes to the guest, as with every address of the box.
    world.serve("guest", ECHO, "guest", "80")
    world.run("outside", f"ip route add 10.0.2.4 via {world.address}")
    for address in ("10.0.2.4", world.address):
        assert ask(world, "outside", "tcp", address, 80).startswith("guest "), address


def test_nobody_outside_reaches_names_in_the_box(world):
    world.casement("--net", "nat")
    world.lease()
    answers = world.serve("outside", NAMES, world.gateway, "answers")
    world.run("outside", "ip route add 172.30.0.0/24 via 10.9.0.2")
    assert world.run("outside", "ping -c 1 -W 1 172.30.0.1", check=False).returncode == 1
    assert ask(world, "outside", "tcp", "172.30.0.1", 53, seconds=1).startswith("silent")
    assert world.python("guest", LOOK_UP, "tcp", "172.30.0.1", "c.example.org") == "192.0.2.31\n"
    answers.kill()


def test_a_guest_that_lies_about_its_address_is_not_heard(world):
    world.casement("--net", "nat")
    world.lease()
    world.run("outside", "ip route add 10.77.0.0/24 via 10.9.0.2")
    world.run("guest", "ip addr add 10.77.0.7/24 dev eth0")
    assert world.run("guest", f"ping -c 1 -W 1 -I 10.77.0.7 {world.gateway}", check=False).returncode == 1
    world.run("guest", f"ping -c 1 -W 5 {world.gateway}")


def test_nothing_is_left_and_the_address_stays(world):
    before = world.picture()
    process = world.casement("--net", "nat")
    first = world.lease()["ip"]
    assert world.picture() != before
    stop(process)
    assert world.picture() == before
    process = world.casement("--net", "nat")
    assert world.lease()["ip"] == first
    kill(process)
    after = world.picture()
    assert {**after, "forwarding": before["forwarding"]} == before
    stop(world.casement("--net", "nat"))


def test_the_address_stays_when_networks_come(world):
    """The guest's address, MAC and gateway; a network of others where it was is the one reason to move."""
    world.run("box", "ip route add 172.30.0.0/24 via 10.9.0.1")
    stop(world.casement("--net", "nat"))
    world.run("box", "ip route del 172.30.0.0/24")
    process = world.casement("--net", "nat")
    lease = world.lease()
    assert (lease["ip"], lease["router"]) == ("172.30.1.2", "172.30.1.1")
    stop(process)
    world.run("box", "ip route add 172.30.1.0/24 via 10.9.0.1")
    process = world.casement("--net", "nat")
    world.run("guest", "ip addr flush dev eth0; ip route flush all")
    assert world.lease()["ip"] == "172.30.0.2"
    stop(process)


def test_a_way_out_by_router_advertisement_stays(world):
    world.run("box", "ip -6 route del default")
    world.run("box", "echo 1 >/proc/sys/net/ipv6/conf/eth0/accept_ra; ip -6 route add default via fd09::1 proto ra expires 1000")
    before = world.picture()["forwarding"]
    process = world.casement("--net", "nat")
    assert world.run("box", "cat /proc/sys/net/ipv6/conf/eth0/accept_ra /proc/sys/net/ipv6/conf/all/forwarding") == "2\n1\n"
    assert "default via fd09::1" in world.run("box", "ip -6 route")
    stop(process)
    assert world.picture()["forwarding"] == before


def test_rights_are_gone(world):
    process = world.casement("--net", "nat")
    status = world.run("box", f"cat /proc/{process.pid}/status")
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert re.search(rf"{name}:\s0+$", status, re.MULTILINE), status
    assert "NoNewPrivs:\t1" in status
    # What forwarding was before can only be set with the one right, in the one thread that waits for it.
    tasks = world.run("box", f"grep -h -e ^Name -e ^CapPrm /proc/{process.pid}/task/*/status").split()
    assert tasks[tasks.index("undo") + 2] == f"{1 << 12:016x}"
    stop(process)


def test_no_thread_has_rights_when_nothing_is_to_be_given_back(world):
    world.run("box", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
    process = world.casement("--net", "nat", before="mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys")
    assert not world.run("box", f"cat /proc/{process.pid}/task/*/status | grep CapPrm | grep -v 0000000000000000", check=False).stdout
    assert world.lease()["ip"] == "172.30.0.2"
    stop(process)


def test_ipv4_where_ipv6_may_not_be_forwarded(world):
    world.run("box", "echo 1 >/proc/sys/net/ipv4/ip_forward")
    world.casement("--net", "nat", before="mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys")
    assert world.lease()["ip"] == "172.30.0.2"
    assert "--sysctl net.ipv6.conf.all.forwarding=1" in (world.folder / "started.log").read_text()
    assert "ip6" not in world.run("box", "nft list ruleset")


def test_ipv4_alone(make_world):
    world = make_world(six=False)
    world.casement("--net", "nat")
    assert world.lease()["ip"] == "172.30.0.2"
    addresses = json.loads(world.run("box", "ip -j addr show casement0"))[0]["addr_info"]
    assert [address["local"] for address in addresses] == ["172.30.0.1"]
    assert world.run("box", "cat /proc/sys/net/ipv6/conf/all/forwarding") == "0\n"


def test_the_gateway_keeps_its_hardware_address(world):
    world.casement("--net", "nat")
    assert f"link/ether 5a{MAC[2:]} " in world.run("box", "ip link show casement0")


REFUSALS = {
    "right": ("true", "setpriv --bounding-set=-net_admin --inh-caps=-net_admin", "--cap-add NET_ADMIN"),
    "device": ("mount -t tmpfs none /dev/net", "", "--device /dev/net/tun"),
    "route": ("ip route del default; ip -6 route del default", "", "no default route"),
    "forwarding": ("mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys", "", "--sysctl net.ipv4.ip_forward=1"),
    # Somebody else's table of the name that the trial has: the kernel refuses what a parser takes.
    "rules": ("(echo 'add table inet casement-check { flags owner; }'; sleep 20) | nft -i >/dev/null & sleep 1; true", "",
              "the kernel's packet filter refuses the rules: "),
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_what_is_missing_is_said_in_one_line(world, reason):
    before, wrapper, remedy = REFUSALS[reason]
    text = world.refusal("--net", "nat", before=before, wrapper=wrapper, early=True)
    assert text.count("\n") == 1 and text.startswith("casement: --net nat: ") and remedy in text


def test_the_port_for_names_is_in_use(world):
    world.serve("box", ECHO, "box", "53")
    text = world.refusal("--net", "nat", early=True)
    assert text.count("\n") == 1 and "--net nat: the DNS relay for the guest cannot listen: Address already in use; stop" in text


@pytest.mark.parametrize("options, words", [
    (["--forward", "127.0.0.1:80:80"], "leave it out"),
    (["--forward", "8006:80"], "--web, --vnc or --host-port has this port"),
    (["--host-port", "80-90/udp", "--forward", "85:80/udp"], "--web, --vnc or --host-port has this port"),
    (["--net-interface", "nowhere0"], "--net-interface nowhere0: No such device"),
])
def test_options_that_do_not_fit(world, options, words):
    text = world.refusal("--net", "nat", *options, early=True)
    assert text.count("\n") == 1 and words in text
