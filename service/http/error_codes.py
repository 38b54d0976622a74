"""Name the errors of orders for metrics: by a closed set of codes, most of them those of the answers."""

from dataclasses import replace

from service.domain.errors import GatewayError, InvalidOrder, OrderFailed
from service.domain.failures import FailureKind
from service.http.errors import describe

_OPEN = (FailureKind.RATE_LIMITED, FailureKind.OVERLOADED, FailureKind.UNREACHABLE)
"""Failures whose answers have the provider's own code."""


def code_of(error: GatewayError) -> str:
    """Return the code of *error*; all faults of parameters have one, and so have all refusals of the provider."""
    match error:
        case InvalidOrder():
            return "invalid_order"
        case OrderFailed(failures=(failure, *_)) if describe(error).code != "partial_failure":
            if failure.is_callers_own:
                return failure.kind.value
            error = OrderFailed((replace(failure, code=None) if failure.kind in _OPEN else failure,))
    return describe(error).code or ""
