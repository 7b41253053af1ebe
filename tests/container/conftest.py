"""What tests of the container ask for: `image` (its tree and what is beside it) and `podman` (an engine in the rig with that image)."""
import subprocess
from types import SimpleNamespace

import machines
import pytest

FOLDER = machines.TREE / "build/image"


def collect(folder):
    """What tools/image makes of this tree's program."""
    subprocess.run([machines.TREE / "tools/image", machines.TREE / "casement", folder], check=True, capture_output=True)
    return SimpleNamespace(root=folder / "root", archive=folder / "root.tar", sbom=folder / "casement.spdx.json")


@pytest.fixture(scope="session")
def image():
    return collect(FOLDER)
