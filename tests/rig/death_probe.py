"""What test_rig.py runs in a pytest of its own: a test under which the outer machine dies, among others."""
import os
from pathlib import Path

import machines
import pytest

DIED = Path(os.environ.get("DEATH_PROBE", "/nonexistent/died"))


@pytest.fixture(scope="module")
def file(rig):
    return rig.shell("mktemp").stdout.strip()


def test_before(rig, file):
    rig.shell(f"test -e {file}")


def test_death(rig, file):
    assert not machines.host_has_kvm()
    if not DIED.exists():
        DIED.touch()
        rig.launch("sh", "-c", "echo c >/proc/sysrq-trigger")
        rig.run("sleep", "60")
    rig.shell(f"test -e {file}")


def test_behind(rig, file):
    rig.shell(f"test -e {file}")


def test_failure(rig):
    """The last of its file: the machine is gone before anybody could ask it."""
    rig.shell("false")
