"""Read single numbers from the first directory of TIFF metadata: Exif 3.0 (4.6.2) and CIPA DC-007 (MPF). Pure."""

from typing import Literal

ORIENTATION = 0x0112
NUMBER_OF_IMAGES = 0xB001

_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II*\0": "little", b"MM\0*": "big"}
_MOST_ENTRIES = 512
_ENTRY_BYTES = 12
_WIDTHS = {3: 2, 4: 4}
"""Bytes of the types SHORT and LONG."""


def read_number(tiff: bytes, tag: int) -> int | None:
    """Return the number under *tag*, or None if it is missing, malformed or of another type."""
    order = _ORDERS.get(tiff[:4])
    if order is None:
        return None
    start = int.from_bytes(tiff[4:8], order)
    count = int.from_bytes(tiff[start : start + 2], order)
    for number in range(min(count, _MOST_ENTRIES)):
        place = start + 2 + number * _ENTRY_BYTES
        entry = tiff[place : place + _ENTRY_BYTES]
        if int.from_bytes(entry[:2], order) == tag and len(entry) == _ENTRY_BYTES:
            width = _WIDTHS.get(int.from_bytes(entry[2:4], order), 0)
            return int.from_bytes(entry[8 : 8 + width], order) if width else None
    return None
