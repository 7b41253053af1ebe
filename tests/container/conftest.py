"""What tests of the container ask for: `image` (its tree and what is beside it), `podman` (an engine in the rig that has that image)."""
import os
import subprocess
from types import SimpleNamespace

import machines
import pytest
from engine import Podman, build_image

FOLDER = machines.TREE / "build/image"


def collect(folder):
    """What tools/image makes of this tree's program."""
    subprocess.run([machines.TREE / "tools/image", machines.TREE / "casement", folder], check=True, capture_output=True)
    return SimpleNamespace(root=folder / "root", archive=folder / "root.tar", sbom=folder / "casement.spdx.json")


@pytest.fixture(scope="session")
def image():
    return collect(FOLDER)


@pytest.fixture(scope="session")
def podman(rig, image):
    engine = Podman(rig)
    archive = FOLDER / "casement.tar"
    build_image(image.archive.parent, archive)
    engine("load", "--quiet", "--input", archive, seconds=300)
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


@pytest.fixture(scope="session")
def linux_disk():
    """A disk that firmware starts by itself, with a small Linux that says when it hears the power button: as an installed system."""
    import guest_image
    folder = machines.OUT / "container"
    folder.mkdir(parents=True, exist_ok=True)
    initrd = guest_image.initrd(folder / "initrd", "wait-power-button")
    disk = guest_image.boot_disk(folder / "data.img", initrd, "console=ttyS0 quiet")
    yield disk
    for path in (initrd, disk):
        os.unlink(path)
