"""Frame every request to the API: its journal entry, its key, its headers, its refusals.

Owns the frame around the endpoints. Does not cover `/sandbox/*`, which is for tests and keeps no journal.
"""

import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from service.sandbox.journal import Entry, JournalImage
from service.sandbox.orders import Order
from service.sandbox.refusals import Refusal, missing_key
from service.sandbox.replies import to_refused
from service.sandbox.state import Sandbox
from service.sandbox.studio import Painted

_KEPT_HEADERS = (
    "idempotency-key",
    "openai-organization",
    "openai-project",
    "traceparent",
    "user-agent",
    "x-request-id",
    "x-stainless-retry-count",
)


@dataclass(slots=True)
class Visit:
    """One request on its way; an endpoint may add to *headers*, which go out with any answer.

    Whoever sets *is_streamed* has to call `finish`, once, when the stream has ended.
    """

    sandbox: Sandbox
    request: Request
    entry: Entry
    key: str
    headers: dict[str, str] = field(default_factory=dict)
    is_streamed: bool = False

    def bill(self, order: Order, pictures: Sequence[Painted]) -> None:
        """Note pictures as painted, from which moment they cost money."""
        self.entry.images += [
            JournalImage(
                serial=picture.serial,
                sha256=picture.sha256,
                order_hash=order.order_hash,
                has_credentials=picture.has_credentials,
            )
            for picture in pictures
        ]
        self.entry.billed = bool(self.entry.images)

    def finish(self) -> None:
        self.sandbox.journal.finish(self.entry)


Endpoint = Callable[[Visit], Awaitable[Response]]


def journalled(sandbox: Sandbox, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """Wrap an endpoint: asks for a key, answers refusals, keeps the journal."""

    async def answer(request: Request) -> Response:
        visit = _open_visit(sandbox, request)
        try:
            response = await _answer(visit, endpoint)
            visit.entry.status = response.status_code
        finally:
            # Before the answer is sent: whoever has seen it finds the entry finished.
            if not visit.is_streamed:
                visit.finish()
        response.headers.update(visit.headers)
        elapsed_s = time.monotonic() - visit.entry.started_monotonic_s
        response.headers["openai-processing-ms"] = str(round(elapsed_s * 1000))
        return response

    return answer


def _open_visit(sandbox: Sandbox, request: Request) -> Visit:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    key = key.strip() if scheme.lower() == "bearer" else ""
    kept = {name: request.headers[name] for name in _KEPT_HEADERS if name in request.headers}
    entry = sandbox.journal.open(method=request.method, path=request.url.path, key=key, headers=kept)
    entry.request_id = f"req_{secrets.token_hex(16)}"
    return Visit(
        sandbox=sandbox,
        request=request,
        entry=entry,
        key=key,
        headers={"x-request-id": entry.request_id, "openai-version": "2020-10-01"},
    )


async def _answer(visit: Visit, endpoint: Endpoint) -> Response:
    try:
        if not visit.key:
            raise missing_key()
        return await endpoint(visit)
    except Refusal as refusal:
        visit.entry.error_code = refusal.code
        return to_refused(refusal)
