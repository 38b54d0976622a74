"""Wrap the endpoints of the API: journal each request, ask for a key, add headers, answer refusals.

Does not wrap `/sandbox/*`, which is for tests and leaves no entries.
"""

import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from service.sandbox.journal.journal import Entry, Journal, JournalImage
from service.sandbox.painting.studio import Painted
from service.sandbox.rules.accepted_order import Order
from service.sandbox.wire.error_envelope import Refusal, missing_key
from service.sandbox.wire.json_bodies import to_refused

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
class JournaledRequest:
    """A request and its entry; an endpoint may add to *headers*, which are sent with any answer.

    An endpoint that sets *is_streamed* must call `finish`, once, at the end of the stream.
    """

    journal: Journal
    request: Request
    entry: Entry
    key: str
    headers: dict[str, str] = field(default_factory=dict)
    is_streamed: bool = False

    def bill(self, order: Order, images: Sequence[Painted]) -> None:
        """Note painted images, which cost money from then on."""
        self.entry.images += [
            JournalImage(
                serial=image.serial,
                sha256=image.sha256,
                order_hash=order.order_hash,
                has_credentials=image.has_credentials,
            )
            for image in images
        ]
        self.entry.billed = bool(self.entry.images)

    def finish(self) -> None:
        self.journal.finish(self.entry)


Endpoint = Callable[[JournaledRequest], Awaitable[Response]]


def keep_journal(journal: Journal, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint for Starlette."""

    async def answer(request: Request) -> Response:
        journaled = _open_request(journal, request)
        try:
            response = await _answer(journaled, endpoint)
            journaled.entry.status = response.status_code
        finally:
            # Before the answer is sent: a caller that has it finds a finished entry.
            if not journaled.is_streamed:
                journaled.finish()
        response.headers.update(journaled.headers)
        elapsed_s = time.monotonic() - journaled.entry.started_monotonic_s
        response.headers["openai-processing-ms"] = str(round(elapsed_s * 1000))
        return response

    return answer


def _open_request(journal: Journal, request: Request) -> JournaledRequest:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    key = key.strip() if scheme.lower() == "bearer" else ""
    kept = {name: request.headers[name] for name in _KEPT_HEADERS if name in request.headers}
    entry = journal.open(method=request.method, path=request.url.path, key=key, headers=kept)
    entry.request_id = f"req_{secrets.token_hex(16)}"
    return JournaledRequest(
        journal=journal,
        request=request,
        entry=entry,
        key=key,
        headers={"x-request-id": entry.request_id, "openai-version": "2020-10-01"},
    )


async def _answer(journaled: JournaledRequest, endpoint: Endpoint) -> Response:
    try:
        if not journaled.key:
            raise missing_key()
        return await endpoint(journaled)
    except Refusal as refusal:
        journaled.entry.error_code = refusal.code
        return to_refused(refusal)
