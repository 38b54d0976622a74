"""Disks that can be full or read-only, for tests of what writes files.

Root gets a file system of its own, because neither a mode nor a limit stops root
reliably; mounting must work then. Everybody else gets a directory with both.
"""

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

_SIZE_BYTES = 8 * 1024 * 1024


class Disk(Protocol):
    """A place for files; *path* is its root."""

    path: Path

    def fill(self, *, but_bytes: int) -> None:
        """Leave room for a file of *but_bytes* and no larger one."""
        ...

    def free(self) -> None:
        """Take back `fill`."""
        ...

    def make_read_only(self) -> None: ...

    def make_writable(self) -> None: ...


@contextlib.contextmanager
def small_disk(directory: Path, *, size_bytes: int = _SIZE_BYTES) -> Iterator[Disk]:
    """Give a disk in *directory* until the block ends."""
    directory.mkdir()
    if os.geteuid() != 0:
        disk = _Directory(directory)
        try:
            yield disk
        finally:
            disk.free()
            disk.make_writable()
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", directory], check=True)
    try:
        yield _Mount(directory)
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


class _Mount:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self, *, but_bytes: int) -> None:
        state = os.statvfs(self.path)
        self._ballast.write_bytes(bytes(state.f_bavail * state.f_frsize - but_bytes))

    def free(self) -> None:
        self._ballast.unlink()

    def make_read_only(self) -> None:
        self._remount("ro")

    def make_writable(self) -> None:
        self._remount("rw")

    def _remount(self, mode: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{mode}", self.path], check=True)


class _Directory:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self, *, but_bytes: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (but_bytes, self._limits[1]))

    def free(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)

    def make_read_only(self) -> None:
        self._change_modes(0o555)

    def make_writable(self) -> None:
        self._change_modes(0o755)

    def _change_modes(self, mode: int) -> None:
        for path in [self.path, *self.path.rglob("*")]:
            if path.is_dir():
                path.chmod(mode)


@contextlib.contextmanager
def no_files() -> Iterator[None]:
    """Let this process open no more files within the block."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
