"""Read a file like bytes in memory, of which only what is asked for is read."""

import os
from typing import BinaryIO, SupportsIndex, overload

_WINDOW_BYTES = 4096
_SEARCHED_AT_ONCE_BYTES = 256 * 1024


class FileBytes:
    """Implements `segments.Bytes` for an open file of fixed size."""

    def __init__(self, file: BinaryIO) -> None:
        self._descriptor = file.fileno()
        self._size_bytes = os.fstat(self._descriptor).st_size
        self._start, self._window = 0, b""

    def __len__(self) -> int:
        return self._size_bytes

    @overload
    def __getitem__(self, at: SupportsIndex, /) -> int: ...

    @overload
    def __getitem__(self, at: slice, /) -> bytes: ...

    def __getitem__(self, at: SupportsIndex | slice, /) -> int | bytes:
        if isinstance(at, slice):
            start, end, _ = at.indices(self._size_bytes)
            return self._read(start, end)
        return self._read(at.__index__(), at.__index__() + 1)[0]

    def find(self, wanted: bytes, start: int = 0, end: int | None = None, /) -> int:
        end = self._size_bytes if end is None else min(end, self._size_bytes)
        while start + len(wanted) <= end:
            part = self[start : min(end, start + _SEARCHED_AT_ONCE_BYTES)]
            place = part.find(wanted)
            if place >= 0:
                return start + place
            # A mark may lie across the border of two parts.
            start += max(1, len(part) - len(wanted) + 1)
        return -1

    def _read(self, start: int, end: int) -> bytes:
        if not self._start <= start <= end <= self._start + len(self._window):
            self._window = os.pread(self._descriptor, max(end - start, _WINDOW_BYTES), start)
            self._start = start
        return self._window[start - self._start : end - self._start]
