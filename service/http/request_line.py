"""Compose the log line of a request: one, at its end, in typed fields (docs/logs.md).

How to add a field: a key in the function of its subject here, and a row in `docs/logs.md`; `tests/http/test_log_fields.py`
compares both. A prompt, the name of a user, a key and a link are never fields.
"""

import logging
from collections.abc import Mapping
from typing import Any

from starlette.types import Scope

from service.domain.failures import loggable_code
from service.domain.images import Source
from service.domain.order import ImageOrder, Ticket
from service.gateway.accounts.identify import ANYONE, Identity
from service.gateway.order.runner import RunningOrder
from service.http.errors import INTERNAL, Problem
from service.http.trace_context import trace_id_of
from service.ports.telemetry import RequestHandled

_INTENDED = frozenset({"not_cached", "draining"})
"""Codes of 5xx that the caller (`only-if-cached`) or the operator (a stop) asked for."""


def note_order(scope: Scope, order: ImageOrder) -> None:
    """Add an order to the line of its request, before it is accepted."""
    scope["state"]["order"] = order


def note_running(scope: Scope, ticket: Ticket, running: RunningOrder) -> None:
    """Add the course of the order to the line, as it will be at the end of the request."""
    scope["state"]["running"] = (ticket, running)


def level_of(scope: Scope) -> int:
    """Return the level of the line: failures of the gateway or the provider are above INFO."""
    problem: Problem | None = scope["state"].get("problem")
    if problem is None or problem.status < 500 or problem.code in _INTENDED:
        return logging.INFO
    return logging.ERROR if problem is INTERNAL else logging.WARNING


def fields_of(scope: Scope, fact: RequestHandled, now_s: float) -> dict[str, Any]:
    """Return the fields of the line of the request that *fact* describes, at the monotonic instant *now_s*."""
    state: Mapping[str, Any] = scope["state"]
    fields: dict[str, Any] = {
        "request_id": state["request_id"],
        "method": fact.method,
        "route": fact.route,
        "status": fact.status,
        "duration_ms": _ms(fact.duration_s),
        "bytes_in": fact.received_bytes,
        "bytes_out": fact.sent_bytes,
    }
    if trace_id := trace_id_of(scope):
        fields["trace_id"] = trace_id
    order: ImageOrder | None = state.get("order")
    fields |= _caller_fields(state.get("identity"), order)
    if order is not None:
        fields |= _order_fields(order)
    if "running" in state:
        ticket, running = state["running"]
        fields |= _course_fields(ticket, running, now_s)
    return {**fields, **_failure_fields(fact.status, state.get("problem"))}


def _caller_fields(identity: Identity | None, order: ImageOrder | None) -> dict[str, str]:
    """Return who called: an open route has no caller, and without an order no user is known."""
    if order is not None:
        caller = order.caller
        fields = {"team": caller.team, "user": caller.user}
        return fields | ({"key_id": caller.key_id} if caller.key_id else {})
    if identity is None or identity is ANYONE:
        return {}
    return {"team": identity.team} | ({"key_id": identity.key_id} if identity.key_id else {})


def _order_fields(order: ImageOrder) -> dict[str, str | int]:
    return {
        "order_id": order.id,
        "operation": order.operation.value,
        "model": order.asked.name,
        "n": order.n,
        "prompt_characters": len(order.prompt),
    }


def _course_fields(ticket: Ticket, running: RunningOrder, now_s: float) -> dict[str, str | int | float]:
    record = running.record
    answered = [image.answered_model for image in running.delivered.values() if image.answered_model]
    backends = dict.fromkeys([backend for backend, _ in record.makers if backend])
    ended_s = now_s if record.ended_s is None else record.ended_s
    return {
        # One that a limit refused has sent nothing.
        **(
            {"sent_model": record.makers[0][1] if record.makers else ticket.model}
            if record.calls or record.sources
            else {}
        ),
        **({"answered_model": answered[0]} if answered else {}),
        **({"backend": ", ".join(backends)} if backends else {}),
        "made": record.sources.count(Source.MADE),
        "cached": record.sources.count(Source.HIT),
        "coalesced": record.sources.count(Source.COALESCED),
        "failed": record.failed,
        "cache": record.cache_outcome(is_cached=ticket.pool is not None),
        "cost_microusd": record.cost_microusd,
        "unpriced": record.unpriced,
        "calls": record.calls,
        "attempts": record.attempts,
        **{f"{stage}_ms": _ms(spent_s) for stage, spent_s in record.stages_s.items()},
        "total_ms": _ms(ended_s - record.started_s),
    }


def _failure_fields(status: int, problem: Problem | None) -> Mapping[str, str | None]:
    """Return the code of a failed request's error, or its type if it has none, and the limit that refused it."""
    if problem is not None:
        return {"code": loggable_code(problem.code or problem.type), **problem.refused_by}
    return {"code": "other"} if status >= 400 else {}


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
