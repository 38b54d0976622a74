"""Give a row a file system of its own, and fill it to its last byte."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.row import NotTried

_MIB = 2**20


class Disk:
    """A small file system at *path*."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Leave no byte, by a file that grows until the disk takes none."""
        with contextlib.suppress(OSError), self._ballast.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(65_536))
        with contextlib.suppress(OSError), self._ballast.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(512))

    def free(self) -> None:
        self._ballast.unlink()


@contextlib.contextmanager
def run_disk(path: Path, *, mib: int) -> Iterator[Disk]:
    """Mount a file system in memory; only root may."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={mib * _MIB}", "tmpfs", f"{path}"]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        raise NotTried("mounting a small file system is not allowed here")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)
