"""The gateway's packages without its logic: what an order costs at least as long as they stay on its way.

FastAPI, redis-py twice an order (once for a hit), httpx over aiohttp, obstore, six series of prometheus-client, a line of the log. Checks, limits and
accounts nothing. Run as `python -m tests.bench.peers.frame PORT PROVIDER_URL REDIS_URL DIRECTORY`.
"""

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from time import perf_counter

import httpx
import obstore
import orjson
import pybase64
import uvicorn
from fastapi import FastAPI, Request, Response
from httpx_aiohttp import AiohttpTransport
from obstore.store import LocalStore
from prometheus_client import Counter, Histogram
from redis.asyncio import Redis

_COUNT_AND_FIND = """
local spent = redis.call('INCRBY', KEYS[1], 1)
if spent == 1 then redis.call('EXPIRE', KEYS[1], 60) end
return redis.call('GET', KEYS[2])
"""
_KEEP = "return redis.call('SET', KEYS[1], ARGV[1])"
_B64 = b'"b64_json":"'
_COUNTERS = [Counter(f"frame_{number}", "Orders.", ["model", "outcome"]) for number in range(4)]
_HISTOGRAMS = [Histogram(f"frame_s_{number}", "Seconds.", ["model"]) for number in range(2)]
_log = logging.getLogger("frame")


class Frame:
    """The work of one order."""

    def __init__(self, provider: str, redis_url: str, directory: str) -> None:
        self.redis: Redis = Redis.from_url(redis_url)
        self.client = httpx.AsyncClient(
            transport=AiohttpTransport(), base_url=provider, timeout=60, trust_env=False
        )
        self._store = LocalStore(directory, mkdir=True)
        self._find = self.redis.register_script(_COUNT_AND_FIND)
        self._keep = self.redis.register_script(_KEEP)

    async def answer(self, operation: str, kind: str, body: bytes) -> bytes:
        """Return a new image, or the one that was made for the same *body*, as it asks."""
        started_s = perf_counter()
        order = sha256(body).hexdigest()
        found = await self._find(keys=["limit", order])
        is_link = kind == "application/json" and orjson.loads(body).get("response_format") == "url"
        name = found.decode() if found else ""
        content = b"" if found else await self._make(f"/v1/images/{operation}", kind, body)
        if content:
            name = await self._store_image(content, order)
        if is_link:
            content = orjson.dumps({"created": 1, "data": [{"url": f"http://frame/files/{name}"}]})
        elif found:
            content = await self._read_again(name)
        self._tell(order, name, started_s)
        return content

    async def _make(self, path: str, kind: str, body: bytes) -> bytes:
        headers = {"content-type": kind, "authorization": "Bearer bench"}
        return (await self.client.post(path, content=body, headers=headers)).content

    async def _store_image(self, content: bytes, order: str) -> str:
        begin = content.index(_B64) + len(_B64)
        image = pybase64.b64decode(memoryview(content)[begin : content.index(b'"', begin)], validate=True)
        name = f"{sha256(image).hexdigest()}.png"
        await obstore.put_async(self._store, name, image)
        await self._keep(keys=[order], args=[name])
        return name

    async def _read_again(self, name: str) -> bytes:
        image = await (await obstore.get_async(self._store, name)).bytes_async()
        return b"".join([b'{"created":1,"data":[{"b64_json":"', pybase64.b64encode(image), b'"}]}'])

    def _tell(self, order: str, image: str, started_s: float) -> None:
        for counter in _COUNTERS:
            counter.labels("gpt-image-2", "made").inc()
        for histogram in _HISTOGRAMS:
            histogram.labels("gpt-image-2").observe(perf_counter() - started_s)
        _log.info(orjson.dumps({"event": "order", "order": order, "image": image}).decode())


def make_app(frame: Frame) -> FastAPI:
    """Return the service."""

    @asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        async with frame.client, frame.redis:
            yield

    app = FastAPI(lifespan=live)

    @app.post("/v1/images/{operation}")
    async def order_images(operation: str, request: Request) -> Response:
        body = await frame.answer(operation, request.headers["content-type"], await request.body())
        return Response(body, media_type="application/json")

    return app


if __name__ == "__main__":
    _log.setLevel(logging.INFO)
    _log.addHandler(logging.StreamHandler(sys.stdout))
    uvicorn.run(
        make_app(Frame(*sys.argv[2:])),
        port=int(sys.argv[1]),
        http="httptools",
        loop="uvloop",
        log_config=None,
        access_log=False,
    )
