"""A Linux guest with --share: a public client of WebDAV on the guest's own link, whose server nobody else reaches."""
import re

import pytest

LEASE = """ip link set eth0 up
cat >/tmp/dhcp <<'S'
#!/bin/sh
[ "$1" = bound ] && ip addr add $ip/24 dev eth0
S
chmod +x /tmp/dhcp; udhcpc -i eth0 -n -q -s /tmp/dhcp || exit 9
"""
CLIENT = LEASE + """mkdir /tmp/here; cd /tmp/here
dd if=/dev/urandom of=up.bin bs=1024 count=3000 2>/dev/null
export HOME=/tmp; for path in ../secret ..%2fsecret %2e%2e/secret link; do
    : >/tmp/stolen; wget -q -O /tmp/stolen http://10.0.2.4/$path 2>&1; grep -c secret /tmp/stolen
done | sort | uniq -c | sed 's/^ */STOLEN /'
printf '%s\\n' 'open http://10.0.2.4/' ls 'get down.bin' 'mkcol folder' 'cd folder' 'put up.bin' 'move up.bin moved.bin' quit |
    cadaver 2>&1
md5sum down.bin up.bin
wget -q -O /dev/null http://10.0.2.2:80/ && echo OTHER-SERVER
echo CLIENT-DONE
"""


@pytest.fixture
def linux(casement, initrd, kernel):
    def start(script, *options):
        return casement("--memory", "256M", "--kernel", kernel.image, "--initrd", initrd(script, ["cadaver"]), "--append",
                        "console=ttyS0 quiet", *options)

    return start


def md5(rig, path):
    return rig.shell(f"md5sum <'{path}'").stdout.split()[0]


def test_a_guest_reads_and_writes_the_folder_and_nothing_else(linux, rig):
    home = rig.shell("mktemp -d /tmp/share.XXXXXX").stdout.strip()
    shared = f"{home}/shared"
    rig.shell(f"mkdir {shared}; echo secret >{home}/secret; ln -s ../secret {shared}/link; "
              f"head -c 2000000 /dev/urandom >{shared}/down.bin")
    machine = linux(CLIENT, "--share", shared, "--net-card", "e1000e", "--state", f"{home}/state")
    machine.wait_serial("CLIENT-DONE", 300)
    stolen = re.findall(r"STOLEN (\d+) (\d+)", machine.serial)
    assert stolen == [("4", "0")], stolen
    assert f"{md5(rig, f'{shared}/down.bin')}  down.bin" in machine.serial
    assert f"{md5(rig, f'{shared}/folder/moved.bin')}  up.bin" in machine.serial
    assert rig.shell(f"ls -A {shared} {shared}/folder").stdout.split() == [
        f"{shared}:", "down.bin", "folder", "link", f"{shared}/folder:", "moved.bin"]
    assert machine.guest_status() == 0
    rig.shell(f"rm -rf {home}")


def test_a_folder_for_reading_stays_as_it_is(linux, rig):
    home = rig.shell("mktemp -d /tmp/share.XXXXXX").stdout.strip()
    shared = f"{home}/shared"
    rig.shell(f"mkdir {shared}; echo kept >{shared}/kept")
    script = LEASE + "echo new >new; export HOME=/tmp\n" \
        "printf '%s\\n' 'open http://10.0.2.4/' 'put new' 'delete kept' quit | cadaver 2>&1; wget -q -O - http://10.0.2.4/kept\n" \
        "wget -q -O - http://10.0.2.4:82/third\n"
    rig.shell(f"mkdir {home}/2 {home}/3; echo of-the-third >{home}/3/third")
    machine = linux(script, "--share", shared, "--share", f"{home}/2", "--share", f"{home}/3", "--share-readonly", "--state",
                    f"{home}/state")
    machine.wait_serial("^kept", 300)
    machine.wait_serial("^of-the-third", 60)
    assert machine.guest_status() == 0
    assert rig.shell(f"cat {shared}/*").stdout == "kept\n"
    rig.shell(f"rm -rf {home}")
