"""Reading a stream of server-sent events, and nothing but what the contract allows in it."""

from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from tests.sandbox.process import SandboxHandle


@dataclass(frozen=True)
class Event:
    name: str
    data: dict[str, Any]


def read_events(answer: httpx.Response) -> list[Event]:
    """Return the events of a good stream; a line that is no `event:` or `data:` is an error."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    return parse_events(answer.content)


def parse_events(body: bytes) -> list[Event]:
    assert body.endswith(b"\n\n") or not body
    return [_parse_event(block) for block in body.split(b"\n\n")[:-1]]


async def read_until_cut(sandbox: SandboxHandle, **fields: object) -> tuple[list[Event], Exception | None]:
    """Generate with a stream, and return what arrived and how it broke off, if it did."""
    body = b""
    wanted = {"model": "gpt-image-2", "prompt": "a cat", "stream": True, **fields}
    async with sandbox.client.stream("POST", "/v1/images/generations", json=wanted) as answer:
        try:
            async for piece in answer.aiter_bytes():
                body += piece
        except httpx.RemoteProtocolError as error:
            return parse_events(body), error
    return parse_events(body), None


def _parse_event(block: bytes) -> Event:
    first, second = block.split(b"\n")
    name, data = first.removeprefix(b"event: "), second.removeprefix(b"data: ")
    assert (len(name), len(data)) == (len(first) - 7, len(second) - 6)
    return Event(name.decode(), orjson.loads(data))
