"""Write bodies that harm a careless reader: one that grows without end when it is decoded, one that breaks off."""

import zlib
from collections.abc import Iterator

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

_GZIP = 31  # window bits of zlib with the header of gzip
_STEP_BYTES = 1024 * 1024


def to_gzip_bomb(status: int, decoded_bytes: int) -> Response:
    """Return a good answer whose one image has *decoded_bytes* of base64; on the wire it is a thousandth of that."""
    headers = {"content-encoding": "gzip"}
    return StreamingResponse(_compress(decoded_bytes), status, headers, "application/json")


class CutResponse(Response):
    """Sends half of its body, then the server closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})


def _compress(decoded_bytes: int) -> Iterator[bytes]:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, _GZIP)
    yield squeeze.compress(b'{"created":1,"data":[{"b64_json":"')
    step = b"A" * _STEP_BYTES
    for left in range(decoded_bytes, 0, -_STEP_BYTES):
        yield squeeze.compress(step[:left])
    yield squeeze.compress(b'"}]}') + squeeze.flush()
