"""
The shared folder as other clients see it: litmus, the protocol's own test, and cadaver. No machine is started, and what
Windows' client sends is in tests/unit/test_dav_locks.c.
"""
import os
import re
import subprocess
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
# Two things are not offered (vmm/share/dav.h): properties of the clients' own, and shared locks.
NOT_OFFERED = {
    "basic": set(),
    "copymove": set(),
    "props": {"propset", "propmanyns", "propget"},
    "locks": {"owner_modify", "lock_shared"},
    "http": set(),
}


@pytest.fixture(scope="session")
def driver():
    path = "build/asan/program/share/driver"
    subprocess.run(["make", "-s", path], cwd=TREE, check=True, stdin=subprocess.DEVNULL)
    return TREE / path


@pytest.fixture
def share(driver, tmp_path):
    """The folder and its URL; in the end the server has found no fault with itself."""
    folder = tmp_path / "shared"
    folder.mkdir()
    with subprocess.Popen([driver, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield folder, f"http://127.0.0.1:{process.stdout.readline().strip()}/"
        process.stdin.close()
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("suite", NOT_OFFERED)
def test_litmus(share, tmp_path, suite):
    _, url = share
    done = subprocess.run(["litmus", "-k", url], capture_output=True, text=True, timeout=300, cwd=tmp_path,
                          env={**os.environ, "TESTS": suite})
    results = re.findall(r"\. (\w+)\.* +(pass|FAIL|SKIPPED)", done.stdout)
    assert ("finish", "pass") in results, done.stdout
    failed = {name for name, result in results if result == "FAIL"}
    assert failed <= NOT_OFFERED[suite], done.stdout
    assert NOT_OFFERED[suite] or "SKIPPED" not in done.stdout


def test_cadaver(share, tmp_path):
    folder, url = share
    content = os.urandom(3 << 20)
    (tmp_path / "local").write_bytes(content)
    commands = ["mkcol f", "cd f", "put local name", "lock name", "put local name", "unlock name", "copy name other",
                "get other back", "delete name", "quit"]
    done = subprocess.run(["cadaver", url], input="\n".join(commands) + "\n", capture_output=True, text=True, timeout=300,
                          cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)})
    assert "failed" not in done.stdout, done.stdout
    assert (tmp_path / "back").read_bytes() == content
    assert [path.name for path in (folder / "f").iterdir()] == ["other"]
    assert (folder / "f/other").read_bytes() == content
