"""Files that several runs of tests make for one another: one makes them at a time."""
import fcntl
from pathlib import Path


class Locked:
    """`with Locked(path):` waits until no other process, and no other thread, is inside with the same path."""

    def __init__(self, path):
        self._path = Path(path)

    def __enter__(self):
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self._path, "w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *unused):
        self._file.close()
