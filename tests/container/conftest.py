"""What tests of the container ask for: `image` (its tree and what is beside it), `podman` (an engine in the rig that has that image)."""
import os
import shutil

import guest_image
import machines
import pytest
from engine import Podman, build_image, collect


@pytest.fixture(scope="session")
def workplace():
    """A folder of this process's own in the tree, where the rig sees what is new."""
    path = machines.TREE / f"build/container/{os.getpid()}"
    path.mkdir(parents=True, exist_ok=True)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def image(workplace):
    return collect(workplace / "image")


@pytest.fixture(scope="session")
def image_archive(image, workplace):
    """The image as engines load it."""
    return build_image(image.folder, workplace / "casement.tar")


@pytest.fixture(scope="session")
def podman(rig, image_archive):
    engine = Podman(rig)
    engine("load", "--quiet", "--input", image_archive, seconds=600)
    yield engine
    engine("system", "reset", "--force", check=False)


@pytest.fixture
def storage(rig):
    """storage(file, ...): a folder in the rig's memory that stands for a user's ./windows, with copies of these files in it."""
    made = []

    def make(*files):
        made.append(rig.shell("mktemp -d /tmp/storage.XXXXXX").stdout.strip())
        for file in files:
            rig.run("cp", "--sparse=always", file, made[-1])
        return made[-1]

    yield make
    rig.run("rm", "-rf", *made)


# Takes an address and serves a page; then as every other.
SERVES = """ip link set eth0 up
cat >/tmp/dhcp <<'S'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/$mask dev eth0; ip route add default via $router
echo "GUEST-LEASE $ip $(cat /sys/class/net/eth0/address) $router"
S
chmod +x /tmp/dhcp
udhcpc -i eth0 -n -q -t 10 -s /tmp/dhcp || exit 9
mkdir /tmp/www
echo 'served by the guest' >/tmp/www/index.html
httpd -p 80 -h /tmp/www
wait-power-button
"""


def _disk(folder, script):
    """A disk that firmware starts by itself, with a small Linux that runs the script: as an installed system."""
    folder.mkdir()
    return guest_image.boot_disk(folder / "data.img", guest_image.initrd(folder / "initrd", script), "console=ttyS0 quiet")


@pytest.fixture(scope="session")
def linux_disk(workplace):
    """Says when it hears the power button."""
    return _disk(workplace / "waits", "wait-power-button")


@pytest.fixture(scope="session")
def serving_disk(workplace):
    """Does so, too, with a page on port 80."""
    return _disk(workplace / "serves", SERVES)
