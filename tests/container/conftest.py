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


@pytest.fixture(scope="session")
def linux_disk(workplace):
    """A disk that firmware starts by itself, with a small Linux that says when it hears the power button: as an installed system."""
    initrd = guest_image.initrd(workplace / "initrd", "wait-power-button")
    return guest_image.boot_disk(workplace / "data.img", initrd, "console=ttyS0 quiet")
