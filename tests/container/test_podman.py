"""
The image under Podman and crun, in the rig: the README's line, the button, the kill, and every way of giving it less. What runs in it
is a small Linux on a disk that stands for an installed system; one long case rehearses the installation.
"""
import re
import shlex

import machines
import pytest
import rehearsal
from engine import Container, Podman

DEVICE = ["--device", "/dev/kvm"]
MACHINE = ["-e", "CPU_CORES=1", "-e", "RAM_SIZE=640M"]
SERIAL = ["-e", "CASEMENT_SERIAL=/storage/serial.log"]
# What the engine is told to take away, all at once; the long cases take one thing each.
LESS = {"capabilities": ["--cap-drop", "ALL"], "read-only": ["--read-only"], "no-network": ["--network", "none"],
        "privileges": ["--security-opt", "no-new-privileges"], "limits": ["--cpus", "2", "--memory", "3g"]}

PROFILE = ["--security-opt", f"seccomp={machines.TREE}/deploy/seccomp.json"]


@pytest.fixture
def container(podman):
    made = []

    def start(*options, arguments=()):
        made.append(Container(podman, [*MACHINE, *SERIAL, *options], arguments))
        return made[-1]

    yield start
    for one in made:
        one.remove()


def readmes_options(folder):
    """Those of the README's `podman run`, with that folder as the user's."""
    line = re.search(r"^    podman run (.*)$", (machines.TREE / "README.md").read_text(), re.MULTILINE).group(1)
    words = shlex.split(line.replace("$PWD/windows", folder))
    assert words[:3] == ["-d", "--name", "windows"] and words[-1] == "casement"
    return words[3:-1]


def processes(podman, one):
    return podman("top", one.name, "comm").stdout.splitlines()[1:]


def test_the_readmes_line(container, podman, storage, linux_disk):
    """A kill and a start do no harm; page and health from outside, one process, and `podman stop` presses the power button."""
    folder = storage(linux_disk)
    one = container(*readmes_options(folder))
    assert one.wait_page("http://127.0.0.1:8006/healthz") == "ok\n"
    podman("kill", "--signal", "KILL", one.name)
    podman("wait", one.name)
    assert one.state() == ("exited", 137)
    podman("start", one.name)
    assert one.wait_page("http://127.0.0.1:8006/healthz") == "ok\n"
    assert podman("exec", one.name, "casement", "health").stdout.startswith("running cpus=1 memory=640M")
    one.wait_serial(f"{folder}/serial.log", "GUEST-LISTENS")
    assert processes(podman, one) == ["casement"]
    seconds, status = one.stop()
    assert status == 0 and seconds < 120, (seconds, one.log())
    assert "GUEST-PRESSED" in podman.rig.run("cat", f"{folder}/serial.log").stdout


@pytest.fixture
def device_group(podman):
    """The group of /dev/kvm, which alone may open it meanwhile, as on hosts."""
    podman.rig.run("chmod", "660", "/dev/kvm")
    yield podman.rig.run("stat", "-c", "%g", "/dev/kvm").stdout.strip()
    podman.rig.run("chmod", "666", "/dev/kvm")


def boots_and_stops(one, folder):
    one.wait_serial(f"{folder}/serial.log", "GUEST-LISTENS")
    assert one.stop()[1] == 0, one.log()


def test_with_nothing_that_it_does_not_need(podman, container, storage, linux_disk, device_group):
    """A user's number, no capability, nothing to write to but /storage, no network, two processors and 3 GiB, our system calls."""
    folder = storage(linux_disk)
    podman.rig.run("chown", "-R", "1000:1000", folder)
    health = ["--health-cmd", '["/usr/bin/casement", "health"]', "--health-timeout", "2m"]
    one = container(*DEVICE, *health, "-v", f"{folder}:/storage", "--user", "1000:1000", "--group-add", device_group, *PROFILE,
                    *(word for words in LESS.values() for word in words))
    one.wait_serial(f"{folder}/serial.log", "GUEST-LISTENS")
    assert podman("healthcheck", "run", one.name).status == 0
    assert one.stop()[1] == 0, one.log()


@pytest.mark.long
@pytest.mark.parametrize("less", LESS)
def test_without_one_thing(podman, container, storage, linux_disk, less):
    folder = storage(linux_disk)
    boots_and_stops(container(*DEVICE, "-v", f"{folder}:/storage", *LESS[less]), folder)


def test_our_profile_lets_disks_use_io_uring(podman):
    """The engine's own refuses it, and `casement check` says so; a machine starts all the same."""
    check = ["run", "--rm", "--network", "none", *DEVICE, "--entrypoint", "/usr/bin/casement"]
    assert re.search("^ok   io_uring", podman(*check, *PROFILE, "localhost/casement", "check").stdout, re.MULTILINE)
    assert re.search("^miss io_uring", podman(*check, "localhost/casement", "check").stdout, re.MULTILINE)


def test_what_is_missing_is_said_in_one_line(podman):
    """Without the device: the line, its remedy, and the status that a restart policy can act on."""
    run = podman("run", "--rm", "--network", "none", "localhost/casement", check=False)
    assert run.status == 3
    assert re.fullmatch(r"casement: /dev/kvm: .*add --device /dev/kvm\n", run.stderr), run.stderr


def test_a_discs_names_are_converted(podman, storage, folder):
    """The C library's converters are in the image: the answer disc needs them."""
    program = rehearsal.answer_disc()
    medium = rehearsal.medium(folder, "11")
    there = storage()
    podman("run", "--rm", "--network", "none", "-v", f"{program}:/answer-disc:ro", "-v", f"{medium}:/medium.iso:ro", "-v", f"{there}:/storage",
           "--entrypoint", "/answer-disc", "localhost/casement", "/medium.iso", "/storage/disc.img")
    medium.unlink()
    assert int(podman.rig.run("stat", "-c", "%s", f"{there}/disc.img").stdout) > 100000


@pytest.mark.long
def test_a_users_own_container(rig, podman, image_archive, storage, linux_disk, device_group):
    """Rootless: an account of the host's with numbers of its own for what is in the container, and the device's group."""
    folder = storage(linux_disk)
    rig.shell(f"id tester || useradd --create-home --shell /bin/sh --groups {device_group} tester; "
              f"usermod --add-subuids 200000-265535 --add-subgids 200000-265535 tester; chown -R tester: {folder}; chmod 711 /tmp/storage.*; "
              "mkdir -p /run/user/tester; chown tester: /run/user/tester; "
              "mkdir -p /var/lib/containers/tester; chown tester: /var/lib/containers/tester")
    own = Podman(rig, user="tester")
    own("load", "--quiet", "--input", image_archive, seconds=600)
    one = Container(own, [*DEVICE, *MACHINE, *SERIAL, "--group-add", "keep-groups", "-v", f"{folder}:/storage", "-p", "8016:8006",
                          "--cgroups", "disabled"])
    try:
        assert one.wait_page("http://127.0.0.1:8016/healthz") == "ok\n"
        boots_and_stops(one, folder)
    finally:
        one.remove()


@pytest.mark.long
def test_an_installation_is_rehearsed(podman, container, storage, folder):
    """From /custom.iso and /oem to a desktop, with dockurr/windows' variables; nothing of Windows is in it (tests/rehearsal)."""
    medium, there, oem = rehearsal.medium(folder, "11"), storage(), storage()
    podman.rig.shell(f"printf 'echo hello\\r\\n' >{oem}/install.bat")
    one = container(*DEVICE, "-e", "USERNAME=Ada", "-e", "DISK_SIZE=2G", "-v", f"{there}:/storage", "-v", f"{medium}:/custom.iso:ro",
                    "-v", f"{oem}:/oem:ro", "-p", "8006:8006")
    serial = f"{there}/serial.log"
    assert one.wait_page("http://127.0.0.1:8006/healthz") == "ok\n"
    for line in ("REHEARSAL-INSTALLS .*edition=Professional", "REHEARSAL-PHASE windowsPE done", "REHEARSAL-RAN install.bat",
                 "CASEMENT-INSTALLED ", "REHEARSAL-DESKTOP edition=Professional user=Ada", "REHEARSAL-LISTENS"):
        found = one.wait_serial(serial, rf"{line}|REHEARSAL-(?:REFUSED|FAILED).*", 900)
        assert not re.match("REHEARSAL-(REFUSED|FAILED)", found.group()), found.group()
    assert one.stop()[1] == 0
    podman("start", one.name)
    one.wait_serial(serial, "REHEARSAL-DESKTOP edition=Professional user=Ada", 600)
    one.wait_serial(serial, "REHEARSAL-LISTENS", 600)
    assert one.stop()[1] == 0
