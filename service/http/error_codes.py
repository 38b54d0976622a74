"""Name the errors of orders for metrics: by a closed set of codes, most of them those of the answers."""

from dataclasses import replace

from service.domain.errors import GatewayError, InvalidOrder, OrderFailed
from service.domain.failures import FailureKind
from service.http.errors import describe

_OPEN = (FailureKind.RATE_LIMITED, FailureKind.OVERLOADED, FailureKind.UNREACHABLE)
"""Failures whose answers have the provider's own code."""


def code_of(error: GatewayError) -> str:
    """Return the code of *error*; all faults of parameters have one, and so have all refusals of the provider.

    An order that fails by its caller's own fault has that code beside finished images, too: no operator can help.
    """
    match error:
        case InvalidOrder():
            return "invalid_order"
        case OrderFailed(failures=(failure, *_) as failures):
            if all(each.is_callers_own for each in failures):
                return failure.kind.value
            without_codes = [replace(each, code=None) if each.kind in _OPEN else each for each in failures]
            error = OrderFailed(tuple(without_codes), kept=error.kept, lost=error.lost)
        case _:
            pass
    return describe(error).code or ""
