"""The least that does what a gateway must: read an order, ask Redis once, call the provider, hash, store, answer.

Raw ASGI, one EVALSHA, aiohttp; no keys, no checks, no accounting, no log. Hashes and stores where the gateway does, in threads
if the image is large; `ENVIRONMENT` keeps freed memory for the next image. Run as `python -m tests.bench.peers.floor PORT PROVIDER_URL REDIS_URL DIRECTORY`.
"""

import asyncio
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pybase64
import uvicorn
from redis.asyncio import Redis
from starlette.types import Receive, Scope, Send

_COUNT_AND_FIND = """
local spent = redis.call('INCRBY', KEYS[1], 1)
if spent == 1 then redis.call('EXPIRE', KEYS[1], 60) end
return redis.call('SET', KEYS[2], '1', 'NX') and 0 or 1
"""
"""Count against a limit, and tell if the order is known."""
_LARGE_BYTES = 64 * 1024
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "268435456"}
"""For glibc, which otherwise maps, and fills with zeros, new memory for each large image."""
_PROVIDER_KEY = {"authorization": "Bearer bench"}


class Floor:
    """Raw ASGI."""

    def __init__(self, provider: str, redis_url: str, directory: Path) -> None:
        self._provider = provider
        self._directory = directory
        self._redis: Redis = Redis.from_url(redis_url)
        self._script = ""
        self._session: aiohttp.ClientSession

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["method"] == "GET":
            content = await asyncio.to_thread((self._directory / Path(scope["path"]).name).read_bytes)
            await _answer(send, [content], b"image/png")
            return
        body = await _read(receive)
        name = sha256(body).hexdigest()
        is_known = await self._redis.evalsha(self._script, 2, "limit", name)
        kind = dict(scope["headers"])[b"content-type"]
        answer: list[bytes] = []
        is_link = kind == b"application/json" and orjson.loads(body).get("response_format") == "url"
        if not is_known:
            answer = [await self._make(scope["path"], kind, body, name)]
        elif not is_link:
            answer = await asyncio.to_thread(self._read_again, name)
        if is_link:
            answer = [orjson.dumps({"created": 1, "data": [{"url": f"http://floor/files/{name}"}]})]
        await _answer(send, answer, b"application/json")

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._script = await self._redis.script_load(_COUNT_AND_FIND)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1000, keepalive_timeout=3), read_bufsize=2**20
        ) as self._session:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await self._redis.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _make(self, path: str, kind: bytes, body: bytes, name: str) -> bytes:
        headers = {"content-type": kind.decode(), **_PROVIDER_KEY}
        async with self._session.post(self._provider + path, data=body, headers=headers) as response:
            content = await response.read()
        if len(content) > _LARGE_BYTES:
            await asyncio.to_thread(self._store, content, name)
        else:
            self._store(content, name)
        return content

    def _store(self, content: bytes, name: str) -> None:
        begin = content.index(b'"b64_json":"') + len(b'"b64_json":"')
        image = pybase64.b64decode(memoryview(content)[begin : content.index(b'"', begin)], validate=True)
        sha256(image).hexdigest()
        new = self._directory / f".{name}"
        new.write_bytes(image)
        new.rename(self._directory / name)

    def _read_again(self, name: str) -> list[bytes]:
        encoded = pybase64.b64encode((self._directory / name).read_bytes())
        return [b'{"created":1,"data":[{"b64_json":"', encoded, b'"}]}']


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message: dict[str, Any] = dict(await receive())
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _answer(send: Send, parts: list[bytes], kind: bytes) -> None:
    """Send *parts* as they are: megabytes are not copied."""
    headers = [(b"content-type", kind), (b"content-length", str(sum(map(len, parts))).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": part is not parts[-1]})


if __name__ == "__main__":
    uvicorn.run(
        Floor(sys.argv[2], sys.argv[3], Path(sys.argv[4])),
        port=int(sys.argv[1]),
        http="httptools",
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
    )
