"""Store settlements that Redis could not take, one small file each, until it can.

A file is written beside its target and renamed, so it appears complete or not at all. Several
processes may replay one directory: a settlement sent twice changes nothing. The modification time
of a delayed settlement's file is the time it becomes pending. Each file's images are read once and
cached while the file exists.
Failure behaviour: an unwritable directory is logged, and the settlement is lost; its hold then
expires into the ledger's `unknown`.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError

from service.adapters.journal.record import decode_settlement, encode_settlement
from service.ports.admission import Settlement
from service.ports.clock import Clock

_WHOLE, _FORETOLD = ".json", ".foretold"
_log = logging.getLogger(__name__)

_Images = Mapping[Path, frozenset[tuple[str, str]]]
"""The images made by each file's settlement: team and image name."""


class FileJournal:
    """Implements `ports.admission.Journal` in *directory*, which is created when first needed."""

    def __init__(self, directory: Path, *, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._images: _Images = {}
        self._looking = asyncio.Lock()

    def add(self, settlement: Settlement, *, after_s: float = 0.0) -> None:
        path = self._path(settlement)
        half, foretold = path.with_suffix(".half"), path.with_suffix(_FORETOLD)
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            half.write_bytes(encode_settlement(settlement))
            if after_s > 0:
                due_s = self._clock.wall_s() + after_s
                os.utime(half, (due_s, due_s))
                half.replace(foretold)
            else:
                half.replace(path)
                foretold.unlink(missing_ok=True)
        except OSError:
            _log.exception("settlement lost", extra={"order_id": settlement.ticket.id})

    def pending(self, most: int = 100) -> list[Settlement]:
        try:
            times_s = {path: path.stat().st_mtime for path in self._directory.iterdir()}
        except OSError:
            return []
        now_s = self._clock.wall_s()
        due = [
            path
            for path, time_s in times_s.items()
            if path.suffix == _WHOLE or (path.suffix == _FORETOLD and time_s <= now_s)
        ]
        paths = sorted(due, key=times_s.__getitem__)
        return [settlement for path in paths[:most] if (settlement := _read(path)) is not None]

    def remove(self, settlements: Sequence[Settlement]) -> None:
        for settlement in settlements:
            path = self._path(settlement)
            try:
                path.unlink(missing_ok=True)
                path.with_suffix(_FORETOLD).unlink(missing_ok=True)
            except OSError:
                # It is sent again, which changes nothing.
                _log.exception("settlement not removed", extra={"order_id": settlement.ticket.id})

    async def has_image(self, team: str, name: str) -> bool:
        # One at a time: concurrent callers would read the same new files and occupy every thread.
        async with self._looking:
            self._images, is_there = await asyncio.to_thread(self._look, self._images, (team, name))
        return is_there

    def _look(self, known: _Images, image: tuple[str, str]) -> tuple[_Images, bool]:
        """Return the images of all files, reading only files not yet *known*, and tell if *image* is among them."""
        try:
            # A delayed settlement has no images.
            paths = [path for path in self._directory.iterdir() if path.suffix == _WHOLE]
        except OSError:
            return {}, False
        images = {path: known[path] if path in known else _images_of(_read(path)) for path in paths}
        return images, any(image in each for each in images.values())

    def _path(self, settlement: Settlement) -> Path:
        name = sha256(f"{settlement.ticket.id}.{settlement.part}".encode()).hexdigest()[:32]
        return self._directory / f"{name}{_WHOLE}"


def _images_of(settlement: Settlement | None) -> frozenset[tuple[str, str]]:
    if settlement is None:
        return frozenset()
    return frozenset((settlement.ticket.caller.team, image.name) for _, image in settlement.made)


def _read(path: Path) -> Settlement | None:
    try:
        return decode_settlement(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        # Set aside for an operator to inspect.
        _log.exception("settlement unreadable", extra={"file": path.name})
        with contextlib.suppress(OSError):
            path.rename(path.with_suffix(".unreadable"))
        return None
