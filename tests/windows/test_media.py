"""
`casement windows`: media are identified and fetched. The media are made here by wimlib and genisoimage; no medium of the
vendor's is used anywhere.
"""
import hashlib
import json
import os
import random
import signal
import subprocess
import time

import machines
import pytest
from http_server import Numbered, Server

CASEMENT = os.environ.get("TEST_CASEMENT", machines.TREE / "casement")
SIZE = 130 << 20  # more than an error page may have
EDITIONS = {"Windows 11 Home": "Core", "Windows 11 Pro": "Professional", "Windows 11 Education": "Education",
            "Windows 11 Enterprise Evaluation": "EnterpriseEval"}


def windows(*words, status=0, seconds=300):
    done = subprocess.run([CASEMENT, "windows", *map(str, words)], capture_output=True, text=True, timeout=seconds,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == status, done
    return done


@pytest.fixture(scope="module")
def medium(tmp_path_factory):
    """A disc image in the layout of the vendor's, with a WIM of four editions that wimlib has made."""
    folder = tmp_path_factory.mktemp("medium")
    (folder / "tree/sources").mkdir(parents=True)
    (folder / "tree/efi/boot").mkdir(parents=True)
    (folder / "tree/efi/boot/bootx64.efi").write_bytes(b"MZ")
    (folder / "system").mkdir()
    (folder / "system/file").write_text("content")
    wim = folder / "tree/sources/install.wim"
    for index, (name, edition) in enumerate(EDITIONS.items(), 1):
        subprocess.run(["wimlib-imagex", "capture" if index == 1 else "append", folder / "system", wim, name], check=True,
                       capture_output=True)
        properties = {"DISPLAYNAME": name, "WINDOWS/ARCH": "9", "WINDOWS/EDITIONID": edition, "WINDOWS/INSTALLATIONTYPE": "Client",
                      "WINDOWS/LANGUAGES/LANGUAGE": "de-DE", "WINDOWS/LANGUAGES/DEFAULT": "de-DE", "WINDOWS/VERSION/MAJOR": "10",
                      "WINDOWS/VERSION/MINOR": "0", "WINDOWS/VERSION/BUILD": "26100", "WINDOWS/VERSION/SPBUILD": "1742"}
        subprocess.run(["wimlib-imagex", "info", wim, str(index),
                        *(f"--image-property={name}={value}" for name, value in properties.items())], check=True,
                       capture_output=True)
    image = folder / "medium.iso"
    subprocess.run(["genisoimage", "-quiet", "-udf", "-V", "CCCOMA_X64FRE", "-o", image, folder / "tree"], check=True)
    return image


def test_a_medium_is_identified(medium):
    found = json.loads(windows("identify", medium, "--json").stdout)
    assert found["file_system"] == "UDF" and found["install"] == "sources/install.wim" and found["boots_efi"]
    assert [(image["name"], image["edition"]) for image in found["images"]] == list(EDITIONS.items())
    for image in found["images"]:
        assert (image["architecture"], image["language"], image["build"], image["revision"]) == ("x64", "de-DE", 26100, 1742)
        assert image["evaluation"] == image["edition"].endswith("Eval")
    assert found["images"][1]["version"] == "win11x64"
    assert "Professional" in windows("identify", medium).stdout


@pytest.mark.parametrize("change,says", [
    (lambda data: data[:len(data) // 2], "download it again"),
    (lambda data: b"\0" * len(data), "as the vendor publishes it"),
    (lambda data: data.replace(b"MSWIM\0\0\0", b"MSWIN\0\0\0"), "install.wim"),
])
def test_what_is_no_medium_is_said(medium, tmp_path, change, says):
    bad = tmp_path / "bad.iso"
    bad.write_bytes(change(medium.read_bytes()))
    said = windows("identify", bad, status=2).stderr
    assert said.count("\n") == 1 and str(bad) in said and says in said, said


def test_a_disc_without_an_installer(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/readme").write_text("nothing")
    subprocess.run(["genisoimage", "-quiet", "-udf", "-o", tmp_path / "other.iso", tmp_path / "tree"], check=True)
    assert "sources/install.wim is missing" in windows("identify", tmp_path / "other.iso", status=2).stderr


@pytest.fixture(scope="module")
def content():
    return random.Random(1).randbytes(SIZE)


@pytest.fixture
def serve():
    servers = []

    def start(*options, **settings):
        servers.append(Server(*options, **settings))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_a_download_survives_what_drops_it(serve, content, tmp_path):
    server = serve(content, drops=6, drop_after=3 << 20)
    digest = hashlib.sha256(content).hexdigest()
    said = windows("fetch", server.url, "--to", tmp_path / "file.iso", "--sha256", digest).stdout
    assert digest in said
    assert (tmp_path / "file.iso").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["file.iso"]


def test_a_download_that_is_stopped_goes_on(serve, content, tmp_path):
    server = serve(content)
    target = tmp_path / "file.iso"
    command = [CASEMENT, "windows", "fetch", server.url, "--to", target]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    while server.sent < SIZE // 2 and first.poll() is None:
        time.sleep(0.01)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=60)
    assert first.returncode == 1 and not target.exists() and (tmp_path / "file.iso.part").exists()
    before = server.sent
    windows("fetch", server.url, "--to", target)
    assert target.read_bytes() == content
    assert server.sent - before < SIZE  # not all again
    assert "file.iso" in windows("fetch", server.url, "--to", target, status=2).stderr  # never overwritten


@pytest.mark.parametrize("path,options,says", [
    ("missing", (), "404"),
    ("file.iso", ("--sha256", "0" * 64), "0" * 64),
])
def test_what_is_not_had_leaves_no_file(serve, content, tmp_path, path, options, says):
    server = serve(content)
    said = windows("fetch", server.url.replace("file.iso", path), "--to", tmp_path / "file.iso", *options, status=2).stderr
    assert says in said and said.count("\n") == 1, said
    assert not (tmp_path / "file.iso").exists()


def test_names(tmp_path):
    assert "Windows Server 2025" in windows("list").stdout
    assert "software-download" in windows("fetch", "10", "--to", tmp_path / "x", status=2).stderr
    assert "11e" in windows("fetch", "nonsense", "--to", tmp_path / "x", status=2).stderr
    assert "not supported yet" in windows("fetch", "vista", "--to", tmp_path / "x", status=2).stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_a_download_of_more_than_4_gib(serve, tmp_path):
    content, target, digest = Numbered(5 << 30), tmp_path / "file.iso", hashlib.sha256()
    for number in range(len(content) // content.BLOCK):
        digest.update(content.block(number))
    server = serve(content, drops=20, drop_after=40 << 20)
    try:
        windows("fetch", server.url, "--to", target, "--sha256", digest.hexdigest(), seconds=3600)
        assert target.stat().st_size == len(content)
        with open(target, "rb") as file:
            for offset in (0, (1 << 31) - content.BLOCK, 1 << 31, (1 << 32) - content.BLOCK, 1 << 32, (5 << 30) - content.BLOCK):
                file.seek(offset)
                assert file.read(content.BLOCK) == content.block(offset // content.BLOCK), offset
        assert server.sent < len(content) + (21 * 128 << 20)  # what was there when a connection ended is not fetched again
        assert [path.name for path in tmp_path.iterdir()] == ["file.iso"]
    finally:
        for path in tmp_path.iterdir():
            path.unlink()


@pytest.mark.parametrize("options,says", [
    (("--user", "a/b"), "--user a/b"),
    (("--user", "x" * 300), "20 at most"),
    (("--domain", "corp.example"), "--domain-user"),
    (("--language", "germen"), "German"),
    (("--keyboard-locale", "xx-YY"), "--keyboard-locale xx-YY"),
    (("--key", "1234"), "--key"),
    (("--version", "12"), "11e"),
    (("--version", "7"), "not supported yet"),
    (("--version", "missing.iso"), "name a disc image that is there"),
    (("--oem", "missing"), "--oem missing"),
    (("--answer-file", "missing.xml"), "--answer-file missing.xml"),
    (("--drivers", "missing"), "--drivers missing"),
    (("--password-file", "missing"), "--password-file missing"),
    (("--disk-size", "1"), "--disk-size 1"),
])
def test_a_wish_that_cannot_be_met_is_said_before_anything_is_made(tmp_path, options, says):
    said = windows("--state", tmp_path / "state", "--web", "none", *options, status=2).stderr
    assert said.count("\n") == 1 and says in said, said
    assert "1234" not in said  # nobody's key is shown
    assert not list(tmp_path.iterdir())


def test_an_old_windows_is_set_aside(tmp_path):
    state = tmp_path / "state"
    journey = {"step": "installed", "phase": 3, "version": "gone.iso", "medium": "gone.iso", "digest": "", "fetched_by_us": False,
               "image": 1, "edition": "Professional", "language": "en-US", "profile": "inbox", "build": 26100,
               "installed_at": "2026-01-02T03:04:05Z", "report": "build=26100"}
    start = ("config", "--state", state, "--version", "gone.iso")  # without KVM it gets no further
    assert str(state) in windows("set-aside", "--state", state, status=2).stderr
    assert not state.exists()
    state.mkdir()
    assert "nothing to set aside" in windows("set-aside", "--state", state).stdout
    (state / "data.img").write_bytes(b"a system" + bytes(1 << 20))
    (state / "journey.json").write_text(json.dumps(journey))
    windows(*start)  # what is installed needs no medium
    said = windows("set-aside", "--state", state).stdout
    place, = (state / "backups").iterdir()
    assert str(place) in said and "installs anew" in said
    assert {path.name for path in place.iterdir()} >= {"data.img", "journey.json"}
    assert (place / "data.img").read_bytes().startswith(b"a system")
    assert not (state / "data.img").exists() and not (state / "journey.json").exists()
    assert "gone.iso" in windows(*start, status=2).stderr  # it is Setup's turn again, which does
    assert "nothing to set aside" in windows("set-aside", "--state", state).stdout
    (place / "data.img").rename(state / "data.img")
    (place / "journey.json").rename(state / "journey.json")
    windows(*start)  # the way back
    # A disk that is not in the folder is nobody's to move.
    device = tmp_path / "device.img"
    device.write_bytes(b"a system" + bytes(1 << 20))
    (state / "data.img").unlink()
    (state / "journey.json").write_text(json.dumps({**journey, "disk": str(device)}))
    said = windows("set-aside", "--state", state).stdout
    assert f"{device}: stays as it is" in said and device.read_bytes().startswith(b"a system")
