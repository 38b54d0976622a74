"""Measure the room on the disks of a process: of its data directory, and of a store that is a directory."""

import asyncio
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from service.domain.conditions import Condition
from service.domain.disks import DiskRoom

_PAUSE_S = 5.0
LOW = {
    "data": "The disk of GATEWAY_DATA_DIR has less than its reserve, 256 MiB or an eighth of a smaller disk: edits with files get "
    "503 disk_full. Make room on it; images are the most of it if the store is there.",
    "store": "The disk of the image store has less than 256 MiB, or an eighth of a smaller disk: soon it takes no images. Make "
    "room on it, or let GATEWAY_RETENTION_BYTES bound them.",
}
"""The advice on a disk that is low on room, by its place."""
_log = logging.getLogger(__name__)


def measure(path: Path) -> DiskRoom:
    """Return the room on the disk of *path*."""
    disk = os.statvfs(path)
    return DiskRoom(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)


class Disks:
    """The disks of *paths*, by place: `data`, and `store` if it is a directory. *rooms* are as last measured."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = paths
        self.rooms: dict[str, DiskRoom] = {}
        self._low: set[str] = set()

    @property
    def places(self) -> Iterable[str]:
        """The names of the disks."""
        return self._paths

    @property
    def shown(self) -> Condition:
        """Return the condition as operators read it."""
        low = [LOW[place] for place in self._paths if place in self._low]
        return Condition(word="low", advice=" ".join(low)) if low else Condition(word="ok")

    async def measure_forever(self) -> None:
        """Measure now, and every five seconds; a disk that hangs keeps its last measure."""
        while True:
            for place, path in self._paths.items():
                try:
                    # A network disk may hang.
                    self._note(place, await asyncio.to_thread(measure, path))
                except OSError:
                    # Journal and store tell what is wrong with it.
                    continue
            await asyncio.sleep(_PAUSE_S)

    def _note(self, place: str, room: DiskRoom) -> None:
        self.rooms[place] = room
        is_low = room.spare_bytes <= 0
        if is_low != (place in self._low):
            self._low ^= {place}
            extra = {"place": place, "free_bytes": room.free_bytes}
            _log.warning("disk low on room" if is_low else "disk has room again", extra=extra)
