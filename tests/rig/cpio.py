"""Writes cpio archives in the "newc" form that the Linux kernel unpacks as initial RAM disk. They can be concatenated."""
import os
import stat


class Archive:
    """Collects files; parent folders come by themselves. bytes() gives the archive, uncompressed and reproducible."""

    def __init__(self):
        self._entries = {}

    def folder(self, path, mode=0o755):
        if path not in self._entries and path.strip("/"):
            self.folder(os.path.dirname(path))
            self._entries[path] = (stat.S_IFDIR | mode, b"")

    def file(self, path, data, mode=0o644):
        self.folder(os.path.dirname(path))
        self._entries[path] = (stat.S_IFREG | mode, data.encode() if isinstance(data, str) else data)

    def link(self, path, target):
        self.folder(os.path.dirname(path))
        self._entries[path] = (stat.S_IFLNK | 0o777, target.encode())

    def bytes(self):
        parts = [_entry(number, path.lstrip("/"), mode, data)
                 for number, (path, (mode, data)) in enumerate(self._entries.items(), 1)]
        archive = b"".join(parts) + _entry(0, "TRAILER!!!", 0, b"")
        return archive + bytes(-len(archive) % 512)


def _entry(inode, path, mode, data):
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return header + bytes(-len(header) % 4) + data + bytes(-len(data) % 4)
