"""The tree that the container's image is made from: bit for bit the same each time, complete, and nothing beyond."""
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import tarfile

import machines
import pytest
from engine import build_image, collect

SOURCES = ["LICENSE", "Makefile", "devices", "firmware", "include", "tools", "vmm"]


def digests(made):
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in (made.archive, made.sbom)]


def files(root):
    return [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]


def test_the_same_program_gives_the_same_image(image, tmp_path):
    assert digests(collect(tmp_path)) == digests(image)


@pytest.mark.long
def test_the_same_sources_give_the_same_image(tmp_path):
    """Built in folders of other names, one after the other."""
    made = []
    for name in ("a", "another-folder"):
        tree = tmp_path / name
        tree.mkdir()
        for source in SOURCES:
            path = machines.TREE / source
            shutil.copytree(path, tree / source) if path.is_dir() else shutil.copy2(path, tree)
        shutil.copytree(machines.TREE / "build/novnc", tree / "build/novnc")
        subprocess.run(["make", "-s", "-j2", "image"], cwd=tree, check=True, env=os.environ | {"SOURCE_DATE_EPOCH": "1700000000"})
        made.append([hashlib.sha256((tree / "build/image" / file).read_bytes()).hexdigest()
                     for file in ("root.tar", "casement.spdx.json", "root/usr/bin/casement")])
        shutil.rmtree(tree)
    assert made[0] == made[1]


def settings(archive):
    """What an archive that engines load says of its image."""
    with tarfile.open(archive) as file:
        manifest, = json.load(file.extractfile("manifest.json"))
        return json.load(file.extractfile(manifest["Config"]))


def test_what_engines_are_told(image, workplace):
    """Of ports, folders, the signal and the health check, and by the labels."""
    labels = {"REVISION": "0123abcd", "SOURCE": "https://example.com/casement"}
    options = [word for name, value in labels.items() for word in ("--build-arg", f"{name}={value}")]
    found = settings(build_image(image.folder, workplace / "told.tar", *options))
    config = found["config"]
    assert config["Entrypoint"] == ["/usr/bin/casement", "container"] and not config.get("Cmd") and not config.get("User")
    assert config["ExposedPorts"].keys() == {"8006/tcp", "3389/tcp", "3389/udp"} and config["Volumes"].keys() == {"/storage"}
    assert config["StopSignal"] in ("SIGTERM", "15") and config["Env"] == ["PATH=/usr/bin"]
    second = 10**9
    assert config["Healthcheck"] == {"Test": ["CMD", "/usr/bin/casement", "health"], "Interval": 30 * second, "Timeout": 30 * second,
                                     "StartPeriod": 60 * second}
    version = re.search("^VERSION := (.*)$", (machines.TREE / "Makefile").read_text(), re.MULTILINE).group(1)
    wanted = {"version": version, "revision": labels["REVISION"], "source": labels["SOURCE"], "licenses": "MIT AND GPL-2.0-only", "title": "Casement"}
    assert wanted.items() <= {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}.items()
    assert found["created"] == "1970-01-01T00:00:00Z"


def test_the_same_tree_gives_the_same_image(image, workplace):
    """All of it in the format of OCI; in Docker's, Podman puts the name of its own container into the description, and the layer is one."""
    whole, layer = ([build_image(image.folder, workplace / f"{form}{n}.tar", "--format", form) for n in range(2)] for form in ("oci", "docker"))
    assert settings(whole[0]) == settings(whole[1])
    assert settings(layer[0])["rootfs"] == settings(layer[1])["rootfs"]


def test_the_image_is_no_larger_than_is_said(image):
    size = image.archive.stat().st_size / (1 << 20)
    said = re.search(r"the image is\s+about (\d+) MiB", (machines.TREE / "README.md").read_text()).group(1)
    print(f"{size:.1f} MiB in {len(files(image.root))} files")
    assert size <= int(said)


def test_beside_dockurrs_packages(image, capsys):
    """What docs/image.md says that both have."""
    text = (machines.TREE / "docs/image.md").read_text().partition("## Beside dockurr/windows")[2].partition("\n## ")[0]
    theirs = set(re.search(r"\n\n((?:    .*\n)+)", text).group(1).split())
    ours = {re.sub(r"t64$", "", path.parent.name) for path in image.root.glob("usr/share/doc/*/copyright")}
    sizes = sorted(((path.stat().st_size, str(path.relative_to(image.root))) for path in files(image.root)), reverse=True)
    with capsys.disabled():
        print(f"\nhere: {len(ours)} packages, {len(sizes)} files, {sum(size for size, _ in sizes) >> 20} MiB; the largest: "
              + ", ".join(f"{name} {size >> 10} KiB" for size, name in sizes[:8]))
        print(f"dockurr/windows names {len(theirs)} packages, which bring others: {' '.join(sorted(theirs))}")
    assert len(theirs) == 38 and theirs & ours == {"ca-certificates", "ovmf"}


def test_packages_of_a_moment(tmp_path):
    """The Dockerfile's line as the build's shell runs it, in another folder: the base's own file stays, or what is given takes its place."""
    text = (machines.TREE / "Dockerfile").read_text()
    line = re.search(r'^RUN (\[ -z "\$APT_SOURCES" \] .*)', text, re.MULTILINE).group(1).replace("/etc/apt", str(tmp_path))
    (tmp_path / "sources.list.d").mkdir()
    own = tmp_path / "sources.list.d/debian.sources"
    own.write_text("Types: deb\n")
    subprocess.run(["sh", "-c", line], check=True, env={"APT_SOURCES": ""})
    assert own.exists() and not (tmp_path / "sources.list").exists()
    lines = "\n".join(f"deb [check-valid-until=no] http://example.com/20260101/debian {suite} main" for suite in ("bookworm", "bookworm-updates"))
    subprocess.run(["sh", "-c", line], check=True, env={"APT_SOURCES": lines, "PATH": os.environ["PATH"]})
    assert (tmp_path / "sources.list").read_text() == lines + "\n"
    assert not own.exists()


def test_one_program_and_what_it_loads(image):
    runnable = [path for path in files(image.root) if path.stat().st_mode & 0o111]
    assert [str(path.relative_to(image.root)) for path in runnable if ".so" not in path.name] == ["usr/bin/casement"]
    everything = [path for path in image.root.rglob("*") if not path.is_symlink()]
    assert not [path for path in everything if path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID)]
    links = [path for path in image.root.rglob("*") if path.is_symlink()]
    assert not [path for path in links if os.readlink(path).startswith("/") or not path.exists()], "they lead out of the tree"


def test_the_list_of_contents_has_every_package(image):
    document = json.loads(image.sbom.read_text())
    packages = {package["SPDXID"]: package for package in document["packages"]}
    assert len(packages) == len(document["packages"])
    assert all(re.fullmatch(r"SPDXRef-[a-zA-Z0-9.-]+", name) for name in packages)
    contained = {one["relatedSpdxElement"] for one in document["relationships"] if one["relationshipType"] == "CONTAINS"}
    assert contained == packages.keys() - {"SPDXRef-image"}
    digest = hashlib.sha256(image.archive.read_bytes()).hexdigest()
    assert packages["SPDXRef-image"]["checksums"][0]["checksumValue"] == digest
    debian = {package["name"] for package in packages.values() if package.get("supplier") == "Organization: Debian"}
    assert {"libc6", "libcurl4", "ovmf", "ca-certificates", "tzdata"} <= {re.sub(r"t64$", "", name) for name in debian}
    licensed = {path.parent.name for path in image.root.glob("usr/share/doc/*/copyright")}
    assert licensed == debian


def test_the_program_runs_with_what_is_there(rig, image):
    root = image.root
    commands = " && ".join(f"chroot {root} /usr/bin/casement {words}" for words in ("--version", "check", "windows config", "windows list"))
    run = rig.run("unshare", "--mount", "sh", "-c", f"mount --rbind /dev {root}/dev && mount -t proc proc {root}/proc && {commands}")
    for line in (r"casement \d.*", "ok   firmware: /usr/share/OVMF/OVMF_CODE_4M.fd", r"version = 11 .*", "11e .*"):
        assert re.search(f"^{line}$", run.stdout, re.MULTILINE), run.stdout


def test_every_library_is_found(rig, image):
    run = rig.run("chroot", image.root, "/usr/bin/casement", env={"LD_TRACE_LOADED_OBJECTS": "1"})
    assert "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6" in run.stdout and "not found" not in run.stdout, run.stdout
