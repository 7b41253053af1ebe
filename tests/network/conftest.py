"""`world` and `make_world`: namespaces around a container (world.py), where this machine has what they need."""
import os
import subprocess
from pathlib import Path

import pytest
from world import PROGRAM, TREE, World


def lacking():
    """What is missing here, or nothing."""
    if os.geteuid() != 0:
        return "root"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun"
    probe = "add table inet t; add chain inet t c { type nat hook prerouting priority 0; }"
    if subprocess.run(["unshare", "-n", "nft", probe], capture_output=True).returncode != 0:
        return "nf_tables with nat"
    return None


@pytest.fixture(scope="session")
def missing():
    return lacking()


@pytest.fixture(scope="session")
def program():
    subprocess.run(["make", "-s", PROGRAM.relative_to(TREE)], cwd=TREE, check=True, stdin=subprocess.DEVNULL)
    return PROGRAM


@pytest.fixture
def make_world(program, missing, tmp_path):
    if missing:
        pytest.skip(f"namespaces need {missing}, which this machine has not")
    made = []

    def make(**settings):
        folder = Path(tmp_path) / str(len(made))
        folder.mkdir()
        made.append(World(folder, **settings))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(make_world):
    return make_world()
