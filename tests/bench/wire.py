"""Speak HTTP/1.1 over one connection that is kept: the least that counts an answer right."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

_LONGEST_READ_BYTES = 2**24


@dataclass(frozen=True, slots=True)
class Target:
    """A server that takes orders, and what each order to it carries."""

    url: str
    token: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; *received_bytes* has its head."""

    status: int
    head: bytes
    content: bytes
    received_bytes: int


class Connection:
    """A connection to *target*, opened before its first request and not again."""

    def __init__(self, target: Target) -> None:
        parts = urlsplit(target.url)
        self._host, self._port = str(parts.hostname), parts.port or 80
        self._headers = {
            "host": f"{self._host}:{self._port}",
            "authorization": f"Bearer {target.token}",
            **target.headers,
        }
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.is_open = False

    async def open(self) -> Self:
        """Connect."""
        self._streams = await asyncio.open_connection(self._host, self._port, limit=_LONGEST_READ_BYTES)
        self.is_open = True
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection; the next request opens another."""
        self.is_open = False
        if self._streams:
            (_, writer), self._streams = self._streams, None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Send a request and return its answer; a connection that the server ends is opened anew for the next.

        Raises:
            OSError: there is no connection, or it ended before the answer.
        """
        # Not before its first order is due: a gateway closes connections that send nothing.
        if self._streams is None:
            await self.open()
        assert self._streams is not None
        reader, writer = self._streams
        given = {**self._headers, **headers, "content-length": str(len(body))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        try:
            writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
            head = await reader.readuntil(b"\r\n\r\n")
            content, framing_bytes = await _read_body(reader, head.lower())
        except asyncio.IncompleteReadError as error:
            await self.close()
            raise ConnectionResetError("the connection ended before the answer") from error
        except OSError:
            await self.close()
            raise
        if b"connection: close" in head.lower():
            await self.close()
        return Answer(int(head[9:12]), head, content, len(head) + len(content) + framing_bytes)


async def _read_body(reader: asyncio.StreamReader, head: bytes) -> tuple[bytes, int]:
    """Return the content, and the bytes around its chunks."""
    if b"transfer-encoding: chunked" not in head:
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        return await reader.readexactly(length), 0
    parts, framing_bytes = [], 0
    while True:
        line = await reader.readuntil(b"\r\n")
        size_bytes = int(line.split(b";")[0], 16)
        parts.append((await reader.readexactly(size_bytes + 2))[:-2])
        framing_bytes += len(line) + 2
        if not size_bytes:
            return b"".join(parts), framing_bytes
