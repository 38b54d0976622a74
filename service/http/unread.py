"""Find orders that were refused before they were read as such: for their head, their caller, their body or its fields.

`OrderEnded` does not tell of them, as there is no order yet; without this, an outage of Redis that refuses all
callers would look like a quiet day, and so would a client whose bodies are all too large.
"""

from collections.abc import Mapping

from starlette.types import Scope

from service.domain.failures import loggable_code
from service.domain.images import Operation
from service.gateway.accounts.identify import Identity
from service.http.errors import Problem
from service.ports.telemetry import OrderUnread, RequestHandled

_OPERATIONS: Mapping[str, Operation] = {
    "/v1/images/generations": Operation.GENERATE,
    "/v1/images/generations/stream": Operation.GENERATE,
    "/v1/images/edits": Operation.EDIT,
    "/v1/images/edits/stream": Operation.EDIT,
    "/v1/images/variations": Operation.VARY,
    "/v1/images/variations/stream": Operation.VARY,
    "/generate_image": Operation.GENERATE,
}
"""The routes of orders."""


def find_unread(scope: Scope, fact: RequestHandled) -> OrderUnread | None:
    """Return the order behind a request that was refused before it was read as one, or None."""
    operation = _OPERATIONS.get(fact.route)
    state = scope["state"]
    problem: Problem | None = state.get("problem")
    if operation is None or fact.method != "POST" or problem is None or "order" in state:
        return None
    identity: Identity | None = state.get("identity")
    return OrderUnread(
        operation=operation,
        team=identity.team if identity is not None else "",
        # All faults of an order have one code, as in `error_codes.py`.
        code="invalid_order" if problem.status == 400 else loggable_code(problem.code) or "other",
    )
