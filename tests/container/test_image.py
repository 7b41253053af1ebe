"""The tree that the container's image is made from: bit for bit the same each time, complete, and nothing beyond."""
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess

import machines
import pytest
from engine import collect

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
