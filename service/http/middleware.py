"""Give every request an id, the path of its route, one log line and one count; answer crashes without a traceback.

Pure ASGI, outside authentication, so that unauthenticated requests are logged, too.
"""

import re
from collections.abc import Sequence
from secrets import token_hex

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.errors import INTERNAL, Problem
from service.http.request_line import fields_of, level_of
from service.http.services import HttpServices, Operations, services_of
from service.http.spellings import SPELT_RIGHT, respell
from service.http.templates import Templates
from service.http.trace_context import QUIET_ROUTES, parse_trace_context
from service.http.unread import find_unread
from service.ports.telemetry import Crashed, RequestHandled

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_CONTROL_CHARACTERS = Problem(400, "The path must not contain control characters.", code="malformed_request")
_NOT_ONE_HOST = Problem(400, "The request must have exactly one Host header.", code="malformed_request")


class RequestScope:
    """Sets `request_id` and `trace_id` in `scope["state"]`, and logs and counts each request."""

    def __init__(self, app: ASGIApp, templates: Templates) -> None:
        self._app = app
        self._templates = templates
        self._log = structlog.get_logger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        services = services_of(scope)
        started_s = services.clock.monotonic_s()
        scope["state"]["request_id"] = _request_id(scope)
        if traceparents := [value for name, value in scope["headers"] if name == b"traceparent"]:
            _join_trace(scope, services, traceparents)
        if scope["path"] not in SPELT_RIGHT:
            respell(scope)
        exchange = _Exchange(receive, send, scope["state"]["request_id"], services.operations)
        try:
            malformed = _find_malformed(scope)
            app = self._app if malformed is None else malformed.response()
            await app(scope, exchange.receive, exchange.send)
        finally:
            route, ended_s = scope.get("route"), services.clock.monotonic_s()
            fact = RequestHandled(
                # Refused before it was routed, or unknown.
                route=route.path if route is not None else self._templates.find(scope["path"]),
                method=scope["method"] if scope["method"] in _METHODS else "other",
                status=exchange.status,
                duration_s=ended_s - started_s,
                received_bytes=exchange.received_bytes,
                sent_bytes=exchange.sent_bytes,
            )
            services.telemetry.record(fact)
            if fact.status >= 400 and (unread := find_unread(scope, fact)):
                services.telemetry.record(unread)
            if fact.route not in QUIET_ROUTES or route is None:
                self._log.log(level_of(scope), "request", **fields_of(scope, fact, ended_s))


class _Exchange:
    """Passes the messages of a request on, gives its answer the id, and counts the bytes of both bodies."""

    __slots__ = ("_operations", "_receive", "_request_id", "_send", "received_bytes", "sent_bytes", "status")

    def __init__(self, receive: Receive, send: Send, request_id: str, operations: Operations) -> None:
        self._receive = receive
        self._send = send
        self._request_id = request_id.encode()
        self._operations = operations
        self.status = self.received_bytes = self.sent_bytes = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self.received_bytes += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            # The second is the name that openai-python 0.28 reads.
            headers = [
                *message["headers"],
                (b"x-request-id", self._request_id),
                (b"request-id", self._request_id),
            ]
            names = [name for name, _ in headers]
            if b"x-content-type-options" not in names:
                headers.append((b"x-content-type-options", b"nosniff"))
            if not self._operations.runner.is_ready and b"connection" not in names:
                # Balancers of connections notice only with the next one.
                headers.append((b"connection", b"close"))
            message["headers"] = headers
        else:
            self.sent_bytes += len(message.get("body", b""))
        await self._send(message)


class AnswerCrashes:
    """Answers crashes without a traceback, inside `cross_origin.py`: a web page may read this answer, too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def note_begin(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, note_begin)
        except Exception as error:  # noqa: BLE001 - the edge: no traceback leaves the process
            fact = Crashed(where="request", id=scope["state"]["request_id"], error=error)
            services_of(scope).telemetry.record(fact)
            if not has_begun:
                await INTERNAL.response()(scope, receive, send)


def _find_malformed(scope: Scope) -> Problem | None:
    """Return the answer to a request whose head is ambiguous."""
    # RFC 9112, 3.2: two hosts contradict each other.
    if sum(name == b"host" for name, _ in scope["headers"]) != 1 and scope["http_version"] != "1.0":
        return _NOT_ONE_HOST
    # Starlette ignores a trailing newline; path checks must not.
    return None if scope["path"].isprintable() else _CONTROL_CHARACTERS


def _join_trace(scope: Scope, services: HttpServices, traceparents: Sequence[bytes]) -> None:
    """Note the id of the caller's trace, for the log line, and for exemplars if its spans are recorded."""
    trace = parse_trace_context(traceparents)
    if trace is not None:
        scope["state"]["trace_id"] = trace.trace_id
        if trace.is_sampled:
            services.note_trace_id(trace.trace_id)


def _request_id(scope: Scope) -> str:
    """Return the caller's id if it is well-formed, otherwise a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value.decode("ascii"))
    return f"req_{token_hex(16)}"
