"""Read the answers of `begin.lua` that grant nothing: a refusal, or the state of an `Idempotency-Key`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from service.domain.errors import (
    GatewayError,
    IdempotencyMismatch,
    LimitState,
    PermissionDenied,
    RateLimited,
    StateUnavailable,
    Unauthenticated,
)
from service.domain.order import Ticket
from service.ports.admission import Conclusion, Grant

CONCLUSION = TypeAdapter(Conclusion)
_NOTHING = Grant(ready=(), mine=(), awaited=(), limits=())


def read_refusal(reply: Mapping[str, Any], ticket: Ticket, states: tuple[LimitState, ...]) -> Grant:
    """Return what another order did with the key of *ticket*; raises the refusal, by one of *states* or by the caller."""
    if "result" in reply:
        return replace(_NOTHING, conclusion=CONCLUSION.validate_json(reply["result"]))
    if "under_way" in reply:
        return replace(_NOTHING, is_under_way=True)
    if "refused" in reply:
        raise RateLimited(
            states[int(reply["refused"])],
            retry_after_s=reply["retry_after_us"] / 1e6,
            limits=states,
            image_microusd=ticket.price.microusd,
        )
    raise _denied(reply["denied"])


def _denied(what: str) -> GatewayError:
    if what == "idempotency":
        return IdempotencyMismatch()
    if what == "late":
        return StateUnavailable("timeout")
    if what == "key":
        return Unauthenticated("This API key was revoked, or it has expired.")
    return PermissionDenied("The team of these credentials is closed.")
