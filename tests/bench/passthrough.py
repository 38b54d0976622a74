"""The least a Python service can do: read a request, send it on, return the answer.

The same server, parser and transport as the gateway, and nothing else. Run as
`python -m tests.bench.passthrough PORT UPSTREAM_URL`.
"""

import sys

import httpx
import uvicorn
from starlette.types import Receive, Scope, Send

from service.adapters.transport import open_transport
from service.http.protocol import GatewayHttpProtocol


class PassThrough:
    """Raw ASGI."""

    def __init__(self, upstream: str) -> None:
        self._url = f"{upstream}/v1/images/generations"
        self._transport = open_transport(upstream, connections=64)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        request = httpx.Request("POST", self._url, content=body, headers={"authorization": "Bearer x"})
        response = await self._transport.handle_async_request(request)
        answer = b"".join([chunk async for chunk in response.aiter_raw()])
        await response.aclose()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    uvicorn.run(
        PassThrough(sys.argv[2]),
        port=int(sys.argv[1]),
        http=GatewayHttpProtocol,
        loop="uvloop",
        lifespan="off",
        log_config=None,
        access_log=False,
    )
