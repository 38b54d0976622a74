"""Be a provider that costs next to nothing: images that differ in a number, over keep-alive.

Run as `python -m tests.bench.stub PORT IMAGE_BYTES [SECONDS]`: an image has so many bytes, and comes so much later. A prompt
with `ask_for(...)` in it says otherwise for its own call. `GET /calls` tells how many calls came and images were made, and when
the last was sent; prints a line when it listens.
"""

import asyncio
import itertools
import random
import re
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pybase64
import uvloop

_ASKED = re.compile(rb"<(\d+) bytes after (\d+) ms>")
_COUNT = re.compile(rb'"n": ?(\d+)|name="n"\r\n(?:[^\r]+\r\n)*\r\n(\d+)')
_SEARCHED_BYTES = 2**16
"""The words of an order are at one of its ends; files are between them."""
_USAGE = {
    "input_tokens": 10,
    "output_tokens": 1756,
    "total_tokens": 1766,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 0},
}


def ask_for(image_bytes: int, late_ms: int = 0) -> str:
    """Return words for a prompt that order images of *image_bytes* after *late_ms*."""
    return f"<{image_bytes} bytes after {late_ms} ms>"


def picture(size_bytes: int) -> bytes:
    """Return a valid 1024x1024 PNG padded with an ancillary chunk to about *size_bytes*."""
    header = struct.pack(">IIBBBBB", 1024, 1024, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1025 * 1024), 1)
    padding = random.Random(1).randbytes(max(0, size_bytes - len(pixels) - 100))
    chunks = ((b"IHDR", header), (b"fiLl", padding), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def images(size_bytes: int) -> Iterator[tuple[bytes, bytes]]:
    """Return images in base64, each in two pieces: the second differs, as equal ones would be stored once and cost less."""
    image = picture(size_bytes)
    end = image.index(b"IDAT") - 4
    # In one piece of base64, so three bytes at a time.
    end -= end % 3
    shared = pybase64.b64encode(image[:end])
    for number in itertools.count():
        rest = image[end:-12] + _chunk(b"nuMb", b"%016d" % number) + image[-12:]
        yield shared, pybase64.b64encode(rest)


@dataclass(slots=True)
class _Provider:
    """All connections of a process: what it makes unless told, and what it has made."""

    image_bytes: int
    late_s: float
    calls: int = 0
    made: int = 0
    sent_s: float = 0
    by_size: dict[int, Iterator[tuple[bytes, bytes]]] = field(default_factory=dict)

    def make(self, body: bytes) -> tuple[list[bytes], float]:
        """Return the answer to an order, and its delay."""
        words = body if len(body) < 2 * _SEARCHED_BYTES else body[:_SEARCHED_BYTES] + body[-_SEARCHED_BYTES:]
        asked, number = _ASKED.search(words), _COUNT.search(words)
        size_bytes = int(asked[1]) if asked else self.image_bytes
        late_s = int(asked[2]) / 1000 if asked else self.late_s
        count = int(number[1] or number[2]) if number else 1
        source = self.by_size.setdefault(size_bytes, images(size_bytes))
        data: list[bytes] = []
        for _ in range(count):
            # In pieces: megabytes are not copied.
            data += (b'{"b64_json":"', *next(source), b'"}', b",")
        self.calls += 1
        self.made += count
        return _answer(
            b'{"created":1,"data":[', *data[:-1], b'],"usage":', orjson.dumps(_USAGE), b"}"
        ), late_s

    def tell(self) -> list[bytes]:
        return _answer(orjson.dumps({"calls": self.calls, "made": self.made, "sent_s": self.sent_s}))


def _answer(*parts: bytes) -> list[bytes]:
    length = sum(map(len, parts))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % length
    return [head, *parts]


class _Stub(asyncio.Protocol):
    def __init__(self, provider: _Provider) -> None:
        self._provider = provider
        self._waiting = bytearray()

    # uvloop's transports are no subclasses of asyncio's.
    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while (end := self._waiting.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._waiting[:end]).lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            if len(self._waiting) < end + 4 + length:
                return
            body = bytes(self._waiting[end + 4 : end + 4 + length])
            del self._waiting[: end + 4 + length]
            self._take(head, body)

    def _take(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"get "):
            self._transport.writelines(self._provider.tell())
            return
        answer, late_s = self._provider.make(body)
        if late_s:
            asyncio.get_running_loop().call_later(late_s, self._send, answer)
        else:
            self._send(answer)

    def _send(self, answer: list[bytes]) -> None:
        self._transport.writelines(answer)
        self._provider.sent_s = time.monotonic()


async def _main(port: int, image_bytes: int, late_s: float) -> None:
    provider = _Provider(image_bytes, late_s)
    server = await asyncio.get_running_loop().create_server(lambda: _Stub(provider), "127.0.0.1", port)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(int(sys.argv[1]), int(sys.argv[2]), float((*sys.argv[3:], "0")[0])))
