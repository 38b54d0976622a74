"""Let the C library use memory again that Python has freed, and give it back to the system at rest.

Bodies and images have megabytes. A block that is mapped alone costs a fault of each page whenever one is made, which takes several
times as long as its content: decoding 4 MB of base64 1.3 ms instead of 0.13. So they come from a heap, which is trimmed (`wiring/memory.py`).
Failure behaviour: open; other libraries keep their own rules.
"""

import ctypes
import sys

MAPPED_BYTES = 32 * 1024 * 1024
"""Blocks of at least this size are mapped alone, and unmapped when they are freed; glibc allows no more."""
KEPT_BYTES = 64 * 1024 * 1024
"""Free bytes at the end of a heap that are kept for the next requests."""
ARENAS = 2
"""Heaps of all threads; each keeps its own free bytes."""

# malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8


def give_back_freed() -> None:
    """Set the thresholds of this process; call it before it starts threads."""
    library = _glibc()
    if library is not None:
        library.mallopt(_MMAP_THRESHOLD, MAPPED_BYTES)
        library.mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
        library.mallopt(_ARENA_MAX, ARENAS)


def trim() -> None:
    """Give back what lies between blocks in use; takes milliseconds for each hundred megabytes."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    # musl has neither.
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
