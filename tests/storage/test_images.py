"""
qcow2 images judged by others: what qemu-img makes is opened and extended here, and the reverse; the same random
operations on qcow2 and raw; damage at random; the process killed under load. No machine is started. LONG=1: more of all.
"""
import fcntl
import json
import os
import random
import signal
import struct
import subprocess
import time
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
LONG = os.environ.get("LONG") == "1"
OPERATIONS = 1_000_000 if LONG else 3_000
KILLS = 300 if LONG else 8
DAMAGED = 200 if LONG else 30
UNLOCK_SECONDS = 60
REFUSED = 2
ERRORS, LEAKS = 6, 7


def build(flavour):
    """The driver: the block layer without a machine."""
    path = f"build/{flavour}/program/storage/driver"
    subprocess.run(["make", "-s", path], cwd=TREE, check=True, stdin=subprocess.DEVNULL)
    return TREE / path


@pytest.fixture(scope="session")
def driver():
    return build("release")


@pytest.fixture(scope="session")
def asan_driver():
    return build("asan")


def run(*words, status=0, **settings):
    done = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          timeout=4 * 3600, **settings)
    assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout[-3000:]}"
    return done.stdout


def casement(*words, status=0):
    return run(os.environ.get("TEST_CASEMENT", TREE / "casement"), "image", *words, status=status)


def wait_unlocked(image):
    """Until nobody holds it: of a process that was killed, io_uring may let go of the file behind its end."""
    deadline = time.monotonic() + UNLOCK_SECONDS
    with open(image, "rb") as file:
        while True:
            try:
                fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0))
                return
            except BlockingIOError:
                assert time.monotonic() < deadline, f"{image} is locked"
                time.sleep(0.01)


def errors(image):
    """What qemu-img finds: errors, leaks."""
    done = subprocess.run(["qemu-img", "check", "--output=json", "-f", "qcow2", image], stdout=subprocess.PIPE)
    assert done.returncode in (0, 2, 3), image
    report = json.loads(done.stdout)
    return report.get("corruptions", 0) + report["check-errors"], report.get("leaks", 0)


def same(one, other, raw="raw"):
    run("qemu-img", "compare", "-f", "qcow2", "-F", raw, one, other)


def mirror(driver, image, raw, seed, count, form="qcow2", **environment):
    run(driver, "mirror", image, form, raw, seed, count, env={**os.environ, **environment})


THEIRS = ["cluster_size=4k", "cluster_size=64k", "cluster_size=2M", "refcount_bits=1", "refcount_bits=2", "refcount_bits=8",
          "refcount_bits=32", "refcount_bits=64,cluster_size=4k", "lazy_refcounts=on", "preallocation=metadata",
          "preallocation=falloc", "preallocation=full,cluster_size=4k"]


@pytest.mark.parametrize("options", THEIRS)
def test_what_qemu_img_made_is_opened_and_extended(driver, tmp_path, options):
    image, raw = tmp_path / "a.qcow2", tmp_path / "a.raw"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, image, "48M")
    run("truncate", "-s", "48M", raw)
    mirror(driver, image, raw, 1, 400)
    assert errors(image) == (0, 0)
    same(image, raw)
    casement("grow", image, "3G", "--format", "qcow2")
    run("truncate", "-s", "3G", raw)
    assert errors(image) == (0, 0)
    mirror(driver, image, raw, 2, 200, CACHE="1")
    assert errors(image) == (0, 0)
    same(image, raw)


def test_what_is_compressed_is_read_and_replaced(driver, tmp_path):
    plain, image, raw = tmp_path / "plain", tmp_path / "a.qcow2", tmp_path / "a.raw"
    plain.write_bytes(b"".join(bytes([n % 251]) * 3000 for n in range(16 << 10))[:32 << 20])
    for cluster in ("4k", "64k", "2M"):
        run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", f"cluster_size={cluster}", plain, image)
        raw.write_bytes(plain.read_bytes())
        mirror(driver, image, raw, 3, 300)
        assert errors(image) == (0, 0)
        same(image, raw)


def test_an_overlay_keeps_what_lies_below(driver, tmp_path):
    base, image, raw = tmp_path / "base.raw", tmp_path / "a.qcow2", tmp_path / "a.raw"
    base.write_bytes(random.Random(4).randbytes(20 << 20))
    casement("create", image, "48M", "--format", "qcow2", "--backing", base, "--backing-format", "raw")
    run("cp", base, raw)
    run("truncate", "-s", "48M", raw)
    before = base.read_bytes()
    mirror(driver, image, raw, 4, 400, form=f"qcow2:{base}:raw")
    assert errors(image) == (0, 0)
    same(image, raw)
    assert base.read_bytes() == before
    casement("rebase", image, "--no-backing", "--from-backing", base)
    base.unlink()
    assert errors(image) == (0, 0)
    same(image, raw)


@pytest.mark.parametrize("options", [("--cluster-size", "4K"), ("--cluster-size", "2M", "--refcount-bits", "1"),
                                     ("--lazy-refcounts",), ("--refcount-bits", "64")])
def test_what_is_made_here_qemu_img_uses(driver, tmp_path, options):
    image, raw, back = tmp_path / "a.qcow2", tmp_path / "a.raw", tmp_path / "back.raw"
    casement("create", image, "48M", "--format", "qcow2", *options)
    assert errors(image) == (0, 0)
    run("truncate", "-s", "48M", raw)
    mirror(driver, image, raw, 5, 300)
    run("qemu-img", "resize", "-q", "-f", "qcow2", image, "80M")
    run("truncate", "-s", "80M", raw)
    for n in range(0, 80, 7):
        for file, form in ((image, "qcow2"), (raw, "raw")):
            run("qemu-io", "-f", form, "-c", f"write -P {n + 1} {n}M 300k", file)
    mirror(driver, image, raw, 6, 300)
    assert errors(image) == (0, 0)
    same(image, raw)
    casement("convert", image, back, "--from-format", "qcow2")
    same(image, back)
    assert "overwritten" in casement("--help")
    casement("convert", image, back, "--from-format", "qcow2", status=REFUSED)
    same(image, back)


def test_many_random_operations(driver, tmp_path):
    image, raw = tmp_path / "a.qcow2", tmp_path / "a.raw"
    run("truncate", "-s", "200M", raw)
    casement("create", image, "200M", "--format", "qcow2", "--cluster-size", "16K")
    mirror(driver, image, raw, 7, OPERATIONS, CACHE="1")
    assert errors(image) == (0, 0)
    same(image, raw)


def test_what_is_not_understood_is_refused(tmp_path):
    image = tmp_path / "a.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "extended_l2=on,cluster_size=64k", image, "10M")
    assert "subclusters" in casement("info", image, "--format", "qcow2", status=REFUSED)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", f"data_file={tmp_path / 'data'}", image, "10M")
    assert "external data file" in casement("info", image, "--format", "qcow2", status=REFUSED)
    run("qemu-img", "create", "-q", "-f", "qcow2", image, "10M")
    assert "--format qcow2" in casement("info", image, status=REFUSED)
    run("qemu-img", "snapshot", "-c", "one", image)
    assert "snapshots" in casement("grow", image, "20M", "--format", "qcow2", status=REFUSED)
    casement("info", image, "--format", "qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "compat=0.10", image, "10M")
    assert "version 2" in casement("grow", image, "20M", "--format", "qcow2", status=REFUSED)


def patch(image, offset, number, size=8):
    with open(image, "r+b") as file:
        file.seek(offset)
        file.write(number.to_bytes(size, "big"))


def test_check_says_by_its_status_what_it_found(tmp_path):
    image = tmp_path / "a.qcow2"
    casement("create", image, "10M", "--format", "qcow2")
    casement("check", image)
    contents = image.read_bytes()
    block = int.from_bytes(contents[int.from_bytes(contents[48:56], "big"):][:8], "big")
    clusters = len(contents) >> 16
    image.write_bytes(contents + bytes(65536))
    patch(image, block + 2 * clusters, 1, 2)
    assert "only cost space" in casement("check", image, status=LEAKS)
    patch(image, int.from_bytes(contents[40:48], "big"), 0x8000000000000010)
    assert "1 errors" in casement("check", image, status=ERRORS)
    casement("repair", image)
    casement("check", image)
    reference = run(os.environ.get("TEST_CASEMENT", TREE / "casement"), "config", "--reference")
    assert all(f"| {status} | `casement image check` found" in reference for status in (ERRORS, LEAKS))


def test_remedies_are_what_the_command_takes(tmp_path):
    image, raw, new = tmp_path / "a.qcow2", tmp_path / "a.raw", tmp_path / "new"
    casement("create", image, "10M", "--format", "qcow2")
    casement("create", raw, "10M")
    for words, says in (
            (("grow", image, "20M"), "--format qcow2, or --format raw"),
            (("convert", image, new), "--from-format qcow2, or --from-format raw"),
            (("convert", raw, new, "--from-backing", image), "leave --from-backing FILE out, or add --from-format qcow2"),
            (("rebase", image, "--backing", image), "--backing-format qcow2, or --backing-format raw"),
            (("rebase", image, "--backing", image, "--backing-format", "qcow2"), "in use by a machine or another command"),
            (("info", tmp_path / "none"), "name a file that is there"),
            (("check", raw), "is not a qcow2 image; name one"),
            (("grow", raw, "1M"), "a disk never shrinks"),
    ):
        said = casement(*words, status=REFUSED)
        assert says in said and said.count("\n") == 1 and "--disk" not in said, said
    assert not new.exists()
    assert "qcow2" not in casement("info", image, "--format", "raw")


def test_damaged_images_are_refused_or_repaired(asan_driver, tmp_path):
    good, raw, image = tmp_path / "good.qcow2", tmp_path / "a.raw", tmp_path / "a.qcow2"
    casement("create", good, "24M", "--format", "qcow2", "--cluster-size", "4K")
    run("truncate", "-s", "24M", raw)
    mirror(asan_driver, good, raw, 8, 150)
    contents, choose, opened, repaired = good.read_bytes(), random.Random(9), 0, 0
    # Where tables are: the header, what it names, and what those name.
    tables = [0, int.from_bytes(contents[40:48], "big"), int.from_bytes(contents[48:56], "big")]
    tables += [int.from_bytes(contents[at:at + 8], "big") & 0x00FFFFFFFFFFFE00
               for start in tables[1:] for at in range(start, start + 96, 8)]
    for _ in range(DAMAGED):
        damaged = bytearray(contents)
        for _ in range(choose.choice((1, 3, 30))):
            at = choose.choice([table for table in tables if table < len(contents) - 4096 and (table or choose.random() < .2)])
            at += choose.randrange(0, 120 if at == 0 else 4096)
            damaged[at:at + 1] = choose.randbytes(1)
        image.write_bytes(damaged[:choose.choice((len(damaged), len(damaged), choose.randrange(len(damaged))))])
        done = subprocess.run([asan_driver, "open", image, "qcow2"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=300)
        assert done.returncode in (0, REFUSED), done.stdout[-3000:]
        opened += done.returncode == 0
        if subprocess.run([TREE / "casement", "image", "repair", image], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, timeout=300).returncode == 0:
            repaired += 1
            assert errors(image) == (0, 0), subprocess.run(["qemu-img", "check", image], capture_output=True, text=True)
            run(asan_driver, "open", image, "qcow2")
    assert opened > DAMAGED // 10 and repaired > DAMAGED // 4, (opened, repaired)


@pytest.mark.parametrize("options", [("--cluster-size", "64K"), ("--cluster-size", "4K"), ("--lazy-refcounts",), None])
def test_a_kill_loses_nothing_that_was_flushed(driver, tmp_path, options):
    form = "qcow2" if options else "raw"
    image, log, choose = tmp_path / "image", tmp_path / "log", random.Random(str(options))
    casement("create", image, "64M", "--format", form, *(options or ()))
    for n in range(KILLS):
        load = subprocess.Popen([driver, "load", image, form, log, str(n)], stdout=subprocess.PIPE)
        assert load.stdout.readline() == b"loading\n"
        time.sleep(choose.uniform(0.001, 0.4))  # the instant is the test
        load.send_signal(signal.SIGKILL)
        load.wait()
        load.stdout.close()
        wait_unlocked(image)
        if options and "--lazy-refcounts" not in options:
            assert errors(image)[0] == 0
        run(driver, "verify", image, form, log)
        if options:
            assert errors(image)[0] == 0
