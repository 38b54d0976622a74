"""HTTP/1.1 parsing: uvicorn's httptools protocol with three repairs.

* An offer to upgrade to h2c, which every `java.net.http.HttpClient` makes, is
  dropped from the head; httptools would otherwise swallow the body behind it
  (Kludex/uvicorn#2722). Ignoring an upgrade is what RFC 9110, 7.8 allows.
* A head is bounded in size and in time.
* Bytes that are no HTTP are answered in the OpenAI error envelope.
"""

import re
from asyncio import TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.http.errors import Problem

MAX_HEAD_BYTES = 32 * 1024
MAX_HEAD_S = 10.0
MAX_DISCARDED_BYTES = 128 * 1024 * 1024
"""What a client may still send after it has been answered, so that it gets to read the answer."""

_END_OF_HEAD = b"\r\n\r\n"
_UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:[ \t]*h2c[ \t]*(?=\r\n)", re.IGNORECASE)

_TOO_LARGE = Problem(
    431, f"The request's headers are larger than {MAX_HEAD_BYTES} bytes.", code="headers_too_large"
)
_MALFORMED = Problem(400, "This is not a valid HTTP/1.1 request.", code="malformed_request")
_REASONS = {400: b"Bad Request", 431: b"Request Header Fields Too Large"}


class GatewayHttpProtocol(HttpToolsProtocol):
    """One connection. Bytes of a head are kept back until it is complete, bodies pass through at once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head = b""
        self._in_head = True
        self._head_timer: TimerHandle | None = None
        self._discarded_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Start waiting for the first head."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(MAX_HEAD_S, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse *data*, or wait for the rest of a head."""
        if not self._in_head:
            super().data_received(data)
            return
        head = self._head + data
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(MAX_HEAD_S, self.transport.close)
        end = head.find(_END_OF_HEAD)
        if max(end, len(head) if end < 0 else 0) > MAX_HEAD_BYTES:
            self._refuse(_TOO_LARGE)
        elif end < 0:
            self._head = head
        else:
            self._head = b""
            self._stop_timer()
            # Everything after it is body (or the next head, when pipelined: then unfiltered).
            end += len(_END_OF_HEAD)
            if b"h2c" in head[:end]:
                head = _UPGRADE.sub(b"", head[:end]) + head[end:]
            super().data_received(head)

    def on_headers_complete(self) -> None:
        """Go on to the body."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Go on to the next head."""
        self._in_head = True
        self._discarded_bytes = 0
        super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        """Collect the body; of one that was answered before it ended, discard a bounded rest."""
        if self.cycle.response_complete:
            self._discarded_bytes += len(body)
            if self._discarded_bytes > MAX_DISCARDED_BYTES:
                self.transport.close()
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP."""
        self._refuse(_MALFORMED)

    def _refuse(self, problem: Problem) -> None:
        self._stop_timer()
        body = problem.body()
        head = b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (problem.status, _REASONS[problem.status], len(body)) + body)
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
