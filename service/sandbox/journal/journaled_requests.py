"""Wrap the endpoints of the API: journal each request, ask for a key, add headers, answer refusals.

Does not wrap `/sandbox/*`, which is for tests and leaves no entries.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from service.sandbox.faults.behaviour import Behaviour
from service.sandbox.faults.conduct import Conduct
from service.sandbox.faults.key_states import refuse_missing_key
from service.sandbox.journal.journal import Entry, Journal, JournalImage
from service.sandbox.painting.studio import Painted
from service.sandbox.rules.accepted_order import Order
from service.sandbox.wire.error_envelope import Refusal
from service.sandbox.wire.json_bodies import to_refused
from service.sandbox.wire.kinds import Kind, make_request_id, read_key, to_answer_headers

_KEPT_HEADERS = ("idempotency-key", "openai-organization", "openai-project", "traceparent", "user-agent")


@dataclass(slots=True)
class JournaledRequest:
    """A request and its entry; an endpoint may add to *headers*, which are sent with any answer.

    *behaviour* is that towards its key when it arrived. An endpoint that sets *is_streamed* must call `finish`, once, at the end of the stream.
    """

    journal: Journal
    request: Request
    entry: Entry
    behaviour: Behaviour
    headers: dict[str, str] = field(default_factory=dict)
    is_streamed: bool = False

    @property
    def key_name(self) -> str | None:
        """The name of its key, None without one."""
        return self.entry.key_sha256

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


def keep_journal(
    journal: Journal, conduct: Conduct, kind: Kind, endpoint: Endpoint
) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint for Starlette, with the keys and headers of one kind of server."""

    async def answer(request: Request) -> Response:
        journaled = _open_request(journal, conduct, kind, request)
        try:
            response = await _answer(journaled, kind, endpoint)
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


def _open_request(journal: Journal, conduct: Conduct, kind: Kind, request: Request) -> JournaledRequest:
    kept = {name: value for name, value in request.headers.items() if _is_kept(name)}
    entry = journal.open(
        method=request.method,
        path=request.url.path,
        query=request.query_params,
        key=read_key(request, kind),
        headers=kept,
    )
    entry.request_id = make_request_id(kind)
    return JournaledRequest(
        journal=journal,
        request=request,
        entry=entry,
        behaviour=conduct.of(entry.key_sha256),
        headers=to_answer_headers(kind, entry.request_id),
    )


def _is_kept(name: str) -> bool:
    """Tell if the journal keeps a header: those that operators add begin with `x-`, as do some keys."""
    return name in _KEPT_HEADERS or (name.startswith("x-") and "key" not in name)


async def _answer(journaled: JournaledRequest, kind: Kind, endpoint: Endpoint) -> Response:
    try:
        if journaled.key_name is None and not journaled.behaviour.keyless:
            raise refuse_missing_key(kind)
        return await endpoint(journaled)
    except Refusal as refusal:
        journaled.entry.refuse(refusal.code, refusal.cause, refusal.retry_after_s)
        return to_refused(refusal, journaled.behaviour.error_shape)
