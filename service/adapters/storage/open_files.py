"""Keep good files of a directory open for a minute, and read them from the system's memory, without a thread.

With `RWF_NOWAIT` a read returns what is in memory and never waits for a disk, so that it is safe on the event loop; obstore reads
all else. Local file systems of Linux have it; on others, and on those of a network, no file is kept open. A file that
was written, replaced or deleted since is given up at its next use. Failure behaviour: open.
"""

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from errno import EOPNOTSUPP
from functools import partial
from io import BytesIO
from pathlib import Path

MOST = 64
OPEN_S = 60.0
"""Time after which a file is opened again: a disk can be unmounted then, and a deleted file gives its room back."""
_HAS_NOWAIT = hasattr(os, "RWF_NOWAIT")
_NOWAIT: int = getattr(os, "RWF_NOWAIT", 0)


class _File:
    """An open file, closed with this object.

    *state* changes with its bytes, its name and its deletion. *version* is what obstore has as `e_tag`: by other rules, no file would
    stay open. *has_memory* tells if its file system reads from memory alone.
    """

    __slots__ = ("descriptor", "has_memory", "size_bytes", "state", "until_s", "version")

    def __init__(self, path: Path, *, open_s: float) -> None:
        # A pipe would wait for its writer.
        self.descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        found = os.fstat(self.descriptor)
        self.state = _state_of(found)
        self.size_bytes = found.st_size
        self.version = f'"{found.st_ino:x}-{found.st_mtime_ns // 1000:x}-{found.st_size:x}"'
        self.until_s = time.monotonic() + open_s
        try:
            os.preadv(self.descriptor, [bytearray(1)], 0, _NOWAIT)
        except OSError as error:
            self.has_memory = error.errno != EOPNOTSUPP
        else:
            self.has_memory = True

    def __del__(self) -> None:
        with suppress(AttributeError):
            os.close(self.descriptor)


class OpenFiles:
    """The open files of *directory*, by the names of their images; none without a directory.

    *forget* is told the names of those that have changed.
    """

    def __init__(
        self, directory: Path | None, *, forget: Callable[[str], object], open_s: float = OPEN_S
    ) -> None:
        self._directory = directory
        self._forget = forget
        self._open_s = open_s
        self.files: dict[str, _File] = {}
        self._is_able = _HAS_NOWAIT
        self._opening: asyncio.Future[_File] | None = None
        self._opening_name: str | None = None

    def size(self, name: str) -> int | None:
        """Return the size of an open file; None if it is not open, or has changed."""
        file = self._find(name)
        return None if file is None else file.size_bytes

    def read(self, name: str, start: int, end: int | None) -> tuple[bytes, int] | None:
        """Return the bytes from *start* to *end* of an open file, and its size; None if some are not in memory."""
        file = self._find(name)
        if file is None:
            return None
        size_bytes = (file.size_bytes if end is None else min(end, file.size_bytes)) - start
        data = BytesIO(bytes(size_bytes))
        try:
            with data.getbuffer() as buffer:
                count = os.preadv(file.descriptor, [buffer], start, _NOWAIT)
        except OSError:
            return None
        # Without a copy.
        return (data.getvalue(), file.size_bytes) if count == size_bytes else None

    def keep(self, name: str, path: str, version: str | None) -> None:
        """Open the file *path* of an image soon, if its bytes are still those of *version*, which are good."""
        self.close_old()
        if self._directory is None or not self._is_able or self._opening is not None:
            # A disk that hangs takes one thread.
            return
        if name not in self.files and len(self.files) < MOST:
            opening = partial(_File, self._directory / path, open_s=self._open_s)
            self._opening = asyncio.get_running_loop().run_in_executor(None, opening)
            self._opening_name = name
            self._opening.add_done_callback(partial(self._opened, name, version))

    def close(self, name: str) -> None:
        """Close the file of an image, if it is open or about to be."""
        self.files.pop(name, None)
        if self._opening_name == name:
            self._opening_name = None

    def close_old(self) -> None:
        """Close what has been open for a minute: the room of a deleted file is free once all have closed it."""
        now_s = time.monotonic()
        for name, file in list(self.files.items()):
            if file.until_s <= now_s:
                self.close(name)

    def _find(self, name: str) -> _File | None:
        file = self.files.get(name)
        if file is not None and _state_of(os.fstat(file.descriptor)) != file.state:
            self.close(name)
            self._forget(name)
            return None
        return file

    def _opened(self, name: str, version: str | None, opening: asyncio.Future[_File]) -> None:
        """Keep a file that was opened, unless it has changed or was closed meanwhile."""
        self._opening = None
        if opening.cancelled() or opening.exception() is not None:
            return
        file = opening.result()
        self._is_able = file.has_memory
        if self._is_able and file.version == version and self._opening_name == name:
            self.files[name] = file


def _state_of(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_nlink)
