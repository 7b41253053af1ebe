"""Finds Debian's unmodified amd64 kernel: the installed one, or else the package downloaded and unpacked in the tree."""
import lzma
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "linux-image-amd64"


@dataclass(frozen=True)
class Kernel:
    release: str
    image: Path
    modules: Path  # .../lib/modules/RELEASE

    def module_files(self, names):
        """Paths of the modules with all they depend on, each after what it needs. Built-in ones are left out."""
        dependencies = {}
        for line in (self.modules / "modules.dep").read_text().splitlines():
            path, needs = line.split(":", 1)
            dependencies[_module_name(path)] = (path, needs.split())
        builtin = {_module_name(line) for line in (self.modules / "modules.builtin").read_text().splitlines()}
        order = []

        def add(name):
            if name in builtin:
                return
            path, needs = dependencies[name]
            for need in needs:
                add(_module_name(need))
            if path not in order:
                order.append(path)

        for name in names:
            add(name.replace("-", "_"))
        return [self.modules / path for path in order]


def _module_name(path):
    return re.sub(r"\.ko(\.\w+)?$", "", path.rsplit("/", 1)[-1]).replace("-", "_")


def module_bytes(path):
    """The content of a module file, unpacked (Debian 13 packs them with xz; busybox cannot load those)."""
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def _version_key(path):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def _newest(root):
    found = [Kernel(path.name, root / "boot" / f"vmlinuz-{path.name}", path)
             for path in (root / "lib/modules").glob("*-amd64")]
    found = [kernel for kernel in found
             if os.access(kernel.image, os.R_OK) and (kernel.modules / "modules.dep").exists()]
    return max(found, key=lambda kernel: _version_key(kernel.modules), default=None)


def _download(root):
    """Unpacks the package that the meta package stands for, from the archives that apt is set up for."""
    depends = subprocess.run(["apt-cache", "depends", PACKAGE], check=True, capture_output=True, text=True).stdout
    names = re.findall(r"Depends: (linux-image-\S+)", depends)
    if not names:
        raise SystemExit(f"rig: apt knows no {PACKAGE}; run apt-get update, or install the package")
    fresh = root.with_name(root.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    subprocess.run(["apt-get", "download", "-q", names[0]], cwd=fresh, check=True)
    package = next(fresh.glob("*.deb"))
    subprocess.run(["dpkg-deb", "-x", package, fresh], check=True)
    package.unlink()
    for release in (fresh / "lib/modules").iterdir():
        subprocess.run(["depmod", "-b", fresh, release.name], check=True)
    shutil.rmtree(root, ignore_errors=True)
    fresh.rename(root)


def find_kernel(build):
    """The newest kernel that is installed; without one that of the package, kept in build/kernel."""
    unpacked = Path(build) / "kernel"
    kernel = None if os.environ.get("RIG_KERNEL") == "package" else _newest(Path("/"))
    if not kernel and not _newest(unpacked):
        _download(unpacked)
    return kernel or _newest(unpacked)
