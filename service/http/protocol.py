"""Parse HTTP/1.1 with uvicorn's httptools protocol and seven repairs.

* An upgrade, which every `java.net.http.HttpClient` offers (to h2c), is declined, as
  RFC 9110, 7.8 allows; httptools would drop the body after it (Kludex/uvicorn#2722).
* The head is bounded in size and in time.
* Bytes that are not HTTP are answered in the OpenAI error envelope.
* A client that stops reading its answer is disconnected: unread bytes stay in memory, and
  uvicorn waits for the client forever, even to close. The application sees a client that left.
* A client that has its answer and begins no other request is disconnected, whatever it
  sends instead; uvicorn would wait forever for the end of an unread body.
* The running request is told that its client has left; uvicorn tells the latest request,
  which may still wait for its turn.
* Connections are bounded: beyond that, idle ones give way, and the next are refused in the envelope.
"""

import math
import struct
from asyncio import TimerHandle
from collections.abc import Collection
from contextlib import suppress
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import Any, cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.http.connections import UNBOUNDED, Connection, ConnectionBound
from service.http.errors import Problem
from service.http.headers import retry_headers

MAX_HEAD_BYTES = 32 * 1024
MAX_HEAD_S = 10.0
MAX_DISCARDED_BYTES = 128 * 1024 * 1024
"""Most bytes a client may send after its answer: cut off earlier, it might not read the answer."""

MAX_STALL_S = 60.0
"""Longest time in which a client may take none of the bytes that wait for it.

The default of nginx (`send_timeout`). It counts bytes, not finished writes: those would cut off
slow readers, too (envoyproxy/envoy#34035).
"""
_STALL_CHECKS = 4
"""Checks within that time: the cut is at most a quarter late."""

_FIELD_BYTES = len(b": \r\n")

_TOO_LARGE = Problem(
    431, f"The request's headers are larger than {MAX_HEAD_BYTES} bytes.", code="headers_too_large"
)
_MALFORMED = Problem(400, "This is not a valid HTTP/1.1 request.", code="malformed_request")
_CROWDED = Problem(
    503,
    "Too many connections are open; nothing was spent.",
    "server_error",
    "overloaded",
    headers=retry_headers(1.0),
)
_REASONS = {400: b"Bad Request", 431: b"Request Header Fields Too Large", 503: b"Service Unavailable"}


class GatewayHttpProtocol(HttpToolsProtocol):
    """One connection."""

    # In one dictionary with uvicorn's, they would exceed Python's key sharing: 1 kB a connection.
    __slots__ = (
        "_bound",
        "_discarded_bytes",
        "_head_bytes",
        "_head_timer",
        "_in_head",
        "_is_refused",
        "_offers_upgrade",
        "_running",
        "_stall_check_s",
        "_stall_timer",
        "_stalled_checks",
        "_unread_bytes",
    )

    def __init__(
        self, *args: Any, bound: ConnectionBound = UNBOUNDED, max_stall_s: float = MAX_STALL_S, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._bound = bound
        self._stall_check_s = max_stall_s / _STALL_CHECKS
        self._stall_timer: TimerHandle | None = None
        self._stalled_checks = 0
        self._unread_bytes = 0
        self._in_head = True
        self._head_bytes = 0
        self._head_timer: TimerHandle | None = None
        self._discarded_bytes = 0
        self._offers_upgrade = False
        self._is_refused = False
        self._running: RequestResponseCycle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if not self._bound.makes_room(cast("Collection[Connection]", self.connections), self):
            self._refuse(_CROWDED)
            return
        self._start_timer()

    @property
    def is_closing(self) -> bool:
        """Tell if the connection is about to end."""
        return self.transport.is_closing()

    @property
    def idle_since_s(self) -> float:
        """The instant on the loop's clock since which it has no request, or no whole head of one; infinity with one."""
        if self.timeout_keep_alive_task is not None:
            return self.timeout_keep_alive_task.when() - self.timeout_keep_alive
        return math.inf if self._head_timer is None else self._head_timer.when() - MAX_HEAD_S

    def close(self) -> None:
        """End the connection."""
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
        if self._running is not None and not self._running.response_complete:
            # With requests behind it. It writes nothing from now on, so unread bytes need no check.
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse *data*; a head that offers an upgrade is parsed again without the offer.

        Only a new head ends the idle time of an answered client: the rest of an unread body, or
        blank lines, would otherwise hold the connection forever. nginx allows that rest less time
        (`lingering_time`).
        """
        while data and not self._is_refused:
            try:
                self.parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as upgrade:
                data = self._decline_upgrade() + data[upgrade.args[0] :]
            except httptools.HttpParserError:
                self._refuse(_MALFORMED)
        if self._in_head and not self._is_refused:
            self._unset_keepalive_if_required()
            self._head_bytes += len(data)
            self._start_timer()
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Start the request, unless it must be parsed again or is too large."""
        self._offers_upgrade = self.parser.should_upgrade()
        if self._offers_upgrade:
            return
        self._in_head = False
        self._discarded_bytes = 0
        self._stop_timer()
        self._unset_keepalive_if_required()
        fields_bytes = sum(len(name) + len(value) + _FIELD_BYTES for name, value in self.headers)
        if len(self.url) + fields_bytes > MAX_HEAD_BYTES:
            self._refuse(_TOO_LARGE)
        else:
            super().on_headers_complete()
            if len(self.pipeline) == 1:
                # While a request waits, uvicorn stops reading, and would not notice that the client leaves.
                self.flow.resume_reading()

    def on_body(self, body: bytes) -> None:
        """Collect the body; if it is answered already, discard a bounded rest."""
        if self._is_refused:
            return
        if self.cycle.response_complete:
            self._discarded_bytes += len(body)
            if self._discarded_bytes > MAX_DISCARDED_BYTES:
                self.transport.close()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Complete the request; a client that has its answer may idle from now on."""
        if self._offers_upgrade or self._is_refused:
            return
        super().on_message_complete()
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def pause_writing(self) -> None:
        """Watch the client: its connection takes no more bytes."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """Restart the checks: the client has taken most bytes."""
        self._stalled_checks = 0
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Watch the client, which may not have taken the whole answer yet."""
        self._watch_reader()
        super().on_response_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _watch_reader(self) -> None:
        if self._stall_timer is None:
            self._stalled_checks = 0
            self._check_later()

    def _check_later(self) -> None:
        self._unread_bytes = self._count_unread()
        self._stall_timer = self.loop.call_later(self._stall_check_s, self._check_reader)

    def _check_reader(self) -> None:
        """Disconnect a client that took no byte in all checks; stop watching one that took all."""
        self._stall_timer = None
        if self.transport.get_write_buffer_size() == 0:
            return
        unread_bytes = self._count_unread()
        # While it grows, the application writes: `resume_writing` or a later check shows the progress.
        self._stalled_checks = self._stalled_checks + 1 if unread_bytes >= self._unread_bytes else 0
        if self._stalled_checks >= _STALL_CHECKS:
            self.transport.abort()
        else:
            self._check_later()

    def _count_unread(self) -> int:
        """Return the number of unread bytes, here and in the kernel, whose buffer may hold megabytes."""
        unread_bytes: int = self.transport.get_write_buffer_size()
        connection = self.transport.get_extra_info("socket")
        with suppress(OSError):  # Linux only; elsewhere, our own buffer counts
            (queued_bytes,) = struct.unpack("i", ioctl(connection.fileno(), TIOCOUTQ, bytes(4)))
            unread_bytes += queued_bytes
        return unread_bytes

    def _decline_upgrade(self) -> bytes:
        """Return the parsed head without the upgrade, for a new parser."""
        kept = [(name, value) for name, value in self.headers if name != b"upgrade"]
        if len(kept) == len(self.headers):
            # CONNECT switches protocols without a header; the gateway is no proxy.
            self._refuse(_MALFORMED)
            return b""
        lines = [
            b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        ]
        lines += [b"%s: %s" % header for header in kept]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _refuse(self, problem: Problem) -> None:
        self._is_refused = True
        self._stop_timer()
        body = problem.body()
        fields = b"".join(
            b"%s: %s\r\n" % (name.encode(), value.encode()) for name, value in problem.headers.items()
        )
        head = b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n%s\r\n"
        self.transport.write(head % (problem.status, _REASONS[problem.status], len(body), fields) + body)
        self.transport.close()

    def _start_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(MAX_HEAD_S, self.transport.close)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
