"""A FastAPI service as many write it, that does nothing but send an order on with httpx and return the answer.

Run as `python -m tests.bench.peers.passthrough PORT PROVIDER_URL`.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response

_CONNECTIONS = 1000


def make_app(provider: str) -> FastAPI:
    """Return the service."""
    limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
    client = httpx.AsyncClient(base_url=provider, limits=limits, timeout=60, trust_env=False)

    @asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        async with client:
            yield

    app = FastAPI(lifespan=live)

    @app.post("/v1/images/{operation}")
    async def send_on(operation: str, request: Request) -> Response:
        headers = {"content-type": request.headers["content-type"], "authorization": "Bearer bench"}
        answer = await client.post(f"/v1/images/{operation}", content=await request.body(), headers=headers)
        return Response(answer.content, answer.status_code, media_type="application/json")

    return app


if __name__ == "__main__":
    uvicorn.run(
        make_app(sys.argv[2]),
        port=int(sys.argv[1]),
        http="httptools",
        loop="uvloop",
        log_config=None,
        access_log=False,
    )
