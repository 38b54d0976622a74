"""Tell when a disk is short of room."""

from dataclasses import dataclass

RESERVE_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class DiskRoom:
    """The room on a disk: the bytes that a process may still write, and all of it."""

    free_bytes: int
    size_bytes: int

    @property
    def spare_bytes(self) -> int:
        """The bytes that uploads may still write: they leave 256 MiB, or an eighth of a smaller disk, to images and books."""
        return self.free_bytes - min(RESERVE_BYTES, self.size_bytes // 8)
