"""Name the objects of an image store and their attributes, and remove partial files."""

import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import obstore
from obstore import store as obstore_stores

from service.domain.delivering import delivery_headers
from service.ports.store import UNUSED_S

FOLDER = "images"
PROBE_NAME = "probe"
_NAME = re.compile(r"[0-9a-f]{64}\.[a-z]+")
_REMAINS = re.compile(r".+#\d+")
"""Files that obstore writes beside their target before it renames them."""
_FRESH_S = UNUSED_S / 2
"""Retention spares a younger object for at least as long again."""


def is_image_name(name: str) -> bool:
    """Tell if *name* is a digest and a format."""
    return _NAME.fullmatch(name) is not None


def path_of(name: str) -> str:
    """Return the path of an image."""
    # Some file systems need small directories.
    return f"{FOLDER}/{name[:2]}/{name}"


def attributes_of(name: str) -> dict[str, str]:
    """Return the attributes to store with an image, for the answers of its presigned URLs."""
    headers = delivery_headers(name)
    return {
        "Content-Type": headers.media_type,
        "Content-Disposition": headers.disposition,
        "Cache-Control": headers.cache_control,
    }


async def has_fresh(store: obstore_stores.ObjectStore, name: str, size_bytes: int) -> bool:
    """Tell if the object is there, complete, and far from the age at which unused objects are deleted."""
    try:
        meta = await obstore.head_async(store, path_of(name))
    except FileNotFoundError:
        return False
    age_s = (datetime.now(UTC) - meta["last_modified"]).total_seconds()
    return int(meta["size"]) == size_bytes and age_s < _FRESH_S


def remove_remains(directory: Path, before_s: float) -> int:
    """Delete partial files below *directory* from before an instant; returns their number."""
    removed = 0
    for path in directory.rglob("*#*"):
        # Another process may sweep the same directory.
        with suppress(FileNotFoundError):
            if _REMAINS.fullmatch(path.name) and path.stat().st_mtime < before_s:
                path.unlink()
                removed += 1
    return removed
