"""Runs the test programs in C of this folder in the rig: they need a real /dev/kvm."""
import subprocess
from pathlib import Path

import machines
import pytest

LIBRARY = "build/release/libcasement.a"


@pytest.mark.parametrize("source", sorted(Path(__file__).parent.glob("test_*.c")), ids=lambda path: path.stem)
def test_program(rig, source):
    program = machines.TREE / "build/release/test" / source.stem
    subprocess.run(["make", "-s", LIBRARY], cwd=machines.TREE, check=True)
    program.parent.mkdir(parents=True, exist_ok=True)
    libs = subprocess.run(["make", "-s", "--no-print-directory", "libs"], cwd=machines.TREE, check=True, capture_output=True,
                          text=True).stdout.split()
    subprocess.run(["cc", "-std=c17", "-D_GNU_SOURCE", "-O1", "-g", "-pthread", "-Iinclude", "-o", program, source,
                    LIBRARY, *libs, "-lcmocka"], cwd=machines.TREE, check=True)
    output = rig.run(program, seconds=120)
    assert "[  PASSED  ]" in output.stdout + output.stderr
