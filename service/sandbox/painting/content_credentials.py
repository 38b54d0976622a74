"""Embed Content Credentials (C2PA) into a PNG, empty and unsigned."""

import zlib


def embed_credentials(file: bytes) -> bytes:
    """Return a PNG with an empty C2PA manifest store behind its header, in a chunk `caBX` (C2PA 2.x, A.3)."""
    kind, end_of_header = b"caBX", 33
    description = _to_box(b"jumd", b"c2pa" + bytes.fromhex("00110010800000aa00389b71") + b"\x03c2pa\x00")
    store = _to_box(b"jumb", description)
    chunk = len(store).to_bytes(4) + kind + store + zlib.crc32(kind + store).to_bytes(4)
    return file[:end_of_header] + chunk + file[end_of_header:]


def _to_box(kind: bytes, content: bytes) -> bytes:
    return (len(content) + 8).to_bytes(4) + kind + content
