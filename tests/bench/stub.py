"""A provider that costs next to nothing: one answer to every request but for a number in its image, over keep-alive.

Run as `python -m tests.bench.stub PORT PICTURE_BYTES [SECONDS]`, which answers so much later; prints a line when it listens.
"""

import asyncio
import itertools
import random
import struct
import sys
import zlib
from collections.abc import Iterator
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


def _answers(size_bytes: int) -> Iterator[bytes]:
    """Return answers whose images differ in one chunk: equal ones would be stored once, and cost less than those of a provider."""
    image = picture(size_bytes)
    end = image.index(b"IDAT") - 4
    # In one piece of base64, so three bytes at a time.
    end -= end % 3
    shared = pybase64.b64encode(image[:end])
    usage = {
        "input_tokens": 10,
        "output_tokens": 1756,
        "total_tokens": 1766,
        "input_tokens_details": {"text_tokens": 10, "image_tokens": 0},
    }
    lead, behind = b'{"created":1,"data":[{"b64_json":"', b'"}],"usage":' + orjson.dumps(usage) + b"}"
    for number in itertools.count():
        rest = image[end:-12] + _chunk(b"nuMb", b"%016d" % number) + image[-12:]
        encoded = pybase64.b64encode(rest)
        length = len(lead) + len(shared) + len(encoded) + len(behind)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % length
        yield b"".join((head, lead, shared, encoded, behind))


class _Stub(asyncio.Protocol):
    answers: Iterator[bytes] = iter(())
    late_s = 0.0

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
            asyncio.get_running_loop().call_later(self.late_s, self._transport.write, next(self.answers))


async def _main(port: int, size_bytes: int, late_s: float) -> None:
    _Stub.answers, _Stub.late_s = _answers(size_bytes), late_s
    server = await asyncio.get_running_loop().create_server(_Stub, "127.0.0.1", port)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(int(sys.argv[1]), int(sys.argv[2]), float((*sys.argv[3:], "0")[0])))
