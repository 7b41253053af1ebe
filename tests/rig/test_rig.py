"""The rig itself: exit status, streams, limits, and the tree as it is."""
import os
import subprocess
import sys

import machines
import pytest

RIG = machines.HERE / "rig"


def test_has_kvm(rig):
    probe = "import fcntl; print(fcntl.ioctl(open('/dev/kvm', 'r+b', buffering=0), 0xAE00))"
    assert rig.run("/usr/bin/python3", "-c", probe).stdout == "12\n"


def test_status_and_streams(rig):
    run = rig.shell("echo out; echo err >&2; exit 7", check=False)
    assert (run.status, run.stdout, run.stderr, run.limit) == (7, "out\n", "err\n", False)


def test_death_by_signal(rig):
    assert rig.shell("kill -KILL $$", check=False).status == 128 + 9


def test_command_not_found(rig):
    run = rig.run("/no/such/program", check=False)
    assert run.status == 127 and "/no/such/program" in run.stderr


def test_input(rig):
    run = rig.launch("wc", "-c", seconds=60)
    run.input(b"x" * 100000)
    run.input(b"")
    run.wait()
    assert run.stdout.strip() == "100000"


def test_much_output(rig):
    assert len(rig.shell("head -c 3000000 /dev/zero").stdout) == 3000000


def test_environment_and_folder(rig, folder):
    assert rig.shell("echo $TEST_X; pwd", env={"TEST_X": "y"}, cwd=folder).stdout == f"y\n{folder}\n"


def test_limit_kills_the_group(rig):
    run = rig.shell("sleep 4711 & sleep 4711", seconds=2, check=False)
    assert run.status == 124 and run.limit
    assert rig.shell("pgrep -xf 'sleep 4711'", check=False).stdout == ""


def test_limit_when_sigterm_is_ignored(rig):
    assert rig.shell("trap '' TERM; while :; do sleep 1; done", seconds=2, check=False).status == 124


def test_leftover_children_end_with_the_command(rig):
    rig.shell("sleep 4712 & exit 0")
    assert rig.shell("pgrep -xf 'sleep 4712'", check=False).stdout == ""


def test_several_at_once(rig):
    waiting = [rig.launch("sh", "-c", f"read line; echo $line {n}", seconds=60) for n in range(8)]
    for run in reversed(waiting):
        run.input(b"go\n")
    assert [run.wait() for run in waiting] == [0] * 8
    assert [run.stdout for run in waiting] == [f"go {n}\n" for n in range(8)]


def test_files_both_ways(rig, folder):
    (folder / "in").write_text("from the host")
    rig.shell("cat in; echo from the rig >out", cwd=folder)
    assert (folder / "out").read_text() == "from the rig\n"


def test_changed_programs_are_seen(rig, tmp_path):
    program = machines.BUILD / f"changing-{os.getpid()}"
    source = tmp_path / "program.c"
    try:
        for status in (3, 4, 5):
            source.write_text(f"int main(void) {{ return {status}; }}")
            subprocess.run(["cc", "-o", tmp_path / "program", source], check=True)
            if status == 5:  # once more, into the same file instead of a new one
                program.write_bytes((tmp_path / "program").read_bytes())
            else:
                program.unlink(missing_ok=True)
                subprocess.run(["cp", tmp_path / "program", program], check=True)
            assert rig.run(program, check=False).status == status
    finally:
        program.unlink(missing_ok=True)


def test_command_line_shows_logs_at_the_limit(rig, folder):
    """By hand as a developer does, on the same machine."""
    log = folder / "own.log"
    machine = ["--name", rig.machine.folder.name] if rig.machine.folder else []
    run = subprocess.run([sys.executable, RIG, "exec", *machine, "--seconds", "2", "--log", log, "sh", "-c",
                          f"echo last words >{log}; sleep 100"], capture_output=True, text=True, check=False)
    assert run.returncode == 124
    assert "not ended after 2 seconds" in run.stderr and "last words" in run.stderr
