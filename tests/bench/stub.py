"""A provider that costs next to nothing: one fixed answer to every request, over keep-alive.

Run as `python -m tests.bench.stub PORT PICTURE_BYTES`; prints a line when it listens.
"""

import asyncio
import random
import struct
import sys
import zlib
from typing import Any

import orjson
import pybase64
import uvloop


def picture(size_bytes: int) -> bytes:
    """Return a valid 1024x1024 PNG padded with an ancillary chunk to about *size_bytes*."""
    header = struct.pack(">IIBBBBB", 1024, 1024, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1025 * 1024), 1)
    padding = random.Random(1).randbytes(max(0, size_bytes - len(pixels) - 100))
    chunks = ((b"IHDR", header), (b"fiLl", padding), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _answer(size_bytes: int) -> bytes:
    body = orjson.dumps(
        {
            "created": 1,
            "data": [{"b64_json": pybase64.b64encode_as_string(picture(size_bytes))}],
            "usage": {
                "input_tokens": 10,
                "output_tokens": 1756,
                "total_tokens": 1766,
                "input_tokens_details": {"text_tokens": 10, "image_tokens": 0},
            },
        }
    )
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _Stub(asyncio.Protocol):
    answer = b""

    # uvloop's transports are no subclasses of asyncio's.
    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._waiting = b""

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while (end := self._waiting.find(b"\r\n\r\n")) >= 0:
            head = self._waiting[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            if len(self._waiting) < end + 4 + length:
                return
            self._waiting = self._waiting[end + 4 + length :]
            self._transport.write(self.answer)


async def _main(port: int, size_bytes: int) -> None:
    _Stub.answer = _answer(size_bytes)
    server = await asyncio.get_running_loop().create_server(_Stub, "127.0.0.1", port)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(int(sys.argv[1]), int(sys.argv[2])))
