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

# What --net nat needs of the outer machine's kernel, which finds no modules by itself.
NAT_MODULES = "tun nf_tables nft_chain_nat nft_nat nft_masq nft_ct nft_fib_ipv4 nft_fib_ipv6 nft_fib_inet nft_socket"
NAT = ["--cap-add", "NET_ADMIN", "--device", "/dev/net/tun", "--sysctl", "net.ipv4.ip_forward=1"]

PROFILE = ["--security-opt", f"seccomp={machines.TREE}/deploy/seccomp.json"]


@pytest.fixture
def container(podman):
    made = []

    def start(*options, arguments=(), machine=MACHINE):
        made.append(Container(podman, [*machine, *SERIAL, *options], arguments))
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


def is_alone(podman, one):
    """Whether the program is the first process of the container, and the only one."""
    return [line.split() for line in podman("top", one.name, "pid", "comm").stdout.splitlines()[1:]] == [["1", "casement"]]


def health(podman, one):
    return podman("exec", one.name, "casement", "health").stdout


def is_healthy(podman, one, tries=5):
    """By the check that the container has; the image's own has less patience than the rig needs at its worst."""
    return any(podman("healthcheck", "run", one.name, check=False).status == 0 for _ in range(tries))


def test_the_readmes_line(container, podman, storage, linux_disk):
    """A kill and a start do no harm; page and health from outside, one process, and `podman stop` presses the power button."""
    folder = storage(linux_disk)
    one = container(*readmes_options(folder))
    assert one.wait_page("http://127.0.0.1:8006/healthz") == "ok\n"
    podman("kill", "--signal", "KILL", one.name)
    podman("wait", one.name)
    assert one.state() == ("exited", 137)
    one.start(f"{folder}/serial.log")
    assert one.wait_page("http://127.0.0.1:8006/healthz") == "ok\n"
    assert health(podman, one).startswith("running cpus=1 memory=640M")
    one.wait_serial(f"{folder}/serial.log", "GUEST-LISTENS")
    assert is_alone(podman, one) and is_healthy(podman, one)
    token = podman("exec", one.name, "casement", "ctl", "--state", "/storage", "token").stdout
    assert token == podman.rig.run("cat", f"{folder}/web-token").stdout
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
def test_ram_max_in_a_limit(podman, container, storage, linux_disk):
    """max is what the container's groups grant: two processors' time, and of 3 GiB what is left of the machine's own needs."""
    folder = storage(linux_disk)
    one = container(*DEVICE, "-v", f"{folder}:/storage", *LESS["limits"], machine=["-e", "CPU_CORES=max", "-e", "RAM_SIZE=max"])
    one.wait_serial(f"{folder}/serial.log", "GUEST-LISTENS")
    assert health(podman, one).startswith(f"running cpus=2 memory={3072 - max(256, 3072 // 16)}M "), (health(podman, one), one.log())
    assert one.stop()[1] == 0, one.log()


@pytest.mark.long
def test_a_block_device_as_the_system_disk(podman, container, storage, linux_disk):
    """At /disk1, as people have it there; the storage folder keeps all but the disk."""
    there, folder = storage(linux_disk), storage()
    device = podman.rig.shell(f"modprobe -q loop; losetup -f --show {there}/data.img").stdout.strip()
    try:
        boots_and_stops(container(*DEVICE, "-v", f"{folder}:/storage", "--device", f"{device}:/disk1"), folder)
        assert podman.rig.shell(f"cd {folder} && ls data.* journey.json 2>/dev/null || true").stdout == "journey.json\n"
    finally:
        podman.rig.run("losetup", "-d", device)


def refused(podman, *options):
    """The one line that a container says which ends at once with status 2."""
    run = podman("run", "--rm", "--network", "none", *DEVICE, *MACHINE, *options, "localhost/casement", check=False)
    assert run.status == 2, (run.status, run.stdout, run.stderr)
    line, = run.stderr.splitlines()
    return line


def test_a_second_container_on_the_same_volume(podman, container, storage, linux_disk):
    """It is refused, and the first goes on as if nothing had been."""
    folder = storage(linux_disk)
    one = container(*DEVICE, "-v", f"{folder}:/storage", "-p", "8006:8006")
    assert one.wait_page("http://127.0.0.1:8006/healthz") == "ok\n"
    line = refused(podman, "-v", f"{folder}:/storage")
    assert re.fullmatch("casement: (STORAGE|--state) /storage: a machine is running with it; stop that one .*", line), line
    assert one.wait_page("http://127.0.0.1:8006/healthz") == "ok\n" and one.state()[0] == "running"
    boots_and_stops(one, folder)


def test_a_storage_folder_that_cannot_be_written(podman, storage, device_group):
    folder = storage()
    podman.rig.run("chmod", "755", folder)
    line = refused(podman, "--user", "1000:1000", "--group-add", device_group, "-v", f"{folder}:/storage")
    assert re.fullmatch("casement: (STORAGE|--state) /storage: Permission denied; name a folder in a place that is writable", line), line
    assert podman.rig.run("ls", "-A", folder).stdout == ""


@pytest.mark.long
def test_all_ports_lead_into_the_guest(podman, container, storage, serving_disk):
    """With NET_ADMIN and /dev/net/tun: from outside, on the container's own address; a restart changes nothing of the guest's."""
    podman.rig.shell(f"modprobe -a -q {NAT_MODULES}; true")
    folder = storage(serving_disk)
    one = container(*DEVICE, *NAT, *PROFILE, "-v", f"{folder}:/storage")
    found = []
    for _ in range(2):
        found.append(one.wait_serial(f"{folder}/serial.log", r"GUEST-LEASE (\S+) (\S+) (\S+)\s").groups())
        one.wait_serial(f"{folder}/serial.log", "GUEST-LISTENS")
        address = podman("inspect", "--format", "{{.NetworkSettings.IPAddress}}", one.name).stdout.strip()
        assert one.wait_page(f"http://{address}/") == "served by the guest\n"
        assert one.wait_page(f"http://{address}:8006/healthz") == "ok\n"
        assert is_alone(podman, one)
        assert one.stop()[1] == 0, one.log()
        if len(found) == 1:
            one.start(f"{folder}/serial.log")
    assert found[0] == found[1] and found[0][0] == "172.30.0.2", found


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
    # As udev has it on hosts, for the engine's own network.
    rig.shell("modprobe -q tun; chmod 666 /dev/net/tun")
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
                    "-v", f"{oem}:/oem:ro", "-p", "8006:8006", "-p", "3389:3389")
    serial = f"{there}/serial.log"
    assert one.wait_page("http://127.0.0.1:8006/healthz") == "ok\n"
    for line in ("REHEARSAL-INSTALLS .*edition=Professional", "REHEARSAL-PHASE windowsPE done", "REHEARSAL-RAN install.bat",
                 "CASEMENT-INSTALLED ", "REHEARSAL-DESKTOP edition=Professional user=Ada", "REHEARSAL-LISTENS"):
        found = one.wait_serial(serial, rf"{line}|REHEARSAL-(?:REFUSED|FAILED).*", 900)
        assert not re.match("REHEARSAL-(REFUSED|FAILED)", found.group()), found.group()
        if "INSTALLS" in line:
            assert is_alone(podman, one)
        elif "DESKTOP" in line:
            assert rehearsal.answers_remote_desktop(podman.rig, 3389)
    assert one.stop()[1] == 0
    one.start(serial)
    one.wait_serial(serial, "REHEARSAL-DESKTOP edition=Professional user=Ada", 600)
    one.wait_serial(serial, "REHEARSAL-LISTENS", 600)
    assert one.stop()[1] == 0
