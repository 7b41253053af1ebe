"""The Dockerfile as a whole, on a base that debootstrap makes in the place of the one that registries have."""
import json
import os
import subprocess

import machines
import pytest
from engine import host_engine

@pytest.fixture
def engine():
    with host_engine() as call:
        yield call


@pytest.fixture
def base(tmp_path, engine):
    """An image of Debian's smallest system, of this host's release."""
    release = subprocess.run(["sh", "-c", '. /etc/os-release && echo "$VERSION_CODENAME"'], check=True, capture_output=True, text=True).stdout
    subprocess.run(["debootstrap", "--variant=minbase", release.strip(), tmp_path / "base"], check=True, capture_output=True)
    subprocess.run(["tar", "--numeric-owner", "-C", tmp_path / "base", "-cf", tmp_path / "base.tar", "."], check=True)
    subprocess.run(["rm", "-rf", "--one-file-system", tmp_path / "base"], check=True)
    engine("import", "--quiet", tmp_path / "base.tar", "localhost/base")
    return "localhost/base"


@pytest.mark.long
@pytest.mark.skipif(os.getuid() != 0, reason="debootstrap needs root")
def test_the_dockerfile_builds_what_is_built_here(image, base, engine):
    engine("build", "--isolation", "chroot", "--format", "docker", "--build-arg", f"BASE={base}", "--build-arg", "SOURCE_DATE_EPOCH=1700000000", "--build-arg", "REVISION=0123abcd",
           "-t", "localhost/casement", machines.TREE)
    settings = json.loads(engine("image", "inspect", "localhost/casement"))[0]["Config"]
    assert settings["Labels"]["org.opencontainers.image.revision"] == "0123abcd"
    assert settings["Entrypoint"] == ["/usr/bin/casement", "container"] and "User" not in settings
    assert (settings["StopSignal"], list(settings["Volumes"])) == ("SIGTERM", ["/storage"])
    mounted = machines.Path(engine("image", "mount", "localhost/casement").strip())
    assert _names(mounted) == _names(image.root)
    run = subprocess.run(["chroot", mounted, "/usr/bin/casement", "--version"], check=True, capture_output=True, text=True)
    assert run.stdout.startswith("casement ")
    engine("image", "unmount", "localhost/casement")


def _names(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))
