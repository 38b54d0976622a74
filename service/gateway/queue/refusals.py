"""Refuse a call or an order before it is sent: nothing was spent, and the caller may come again."""

from service.domain.failures import Billing, CallFailure, FailureKind
from service.ports.telemetry import QueueRefusal

_CODE = "overloaded"
_MESSAGES: dict[QueueRefusal, str] = {
    "full": "Too many orders wait for the image provider.",
    "late": "The order cannot be answered before its deadline: others wait for the image provider.",
    "slow": "The order cannot be answered before its deadline: the image provider takes longer at the moment.",
    "hurried": "The order cannot be answered before its deadline (x-request-timeout-s): such images take longer.",
    "untrusted": "The image provider breaks calls off, or does not answer; until it answers, single calls try it.",
}

LEFT = CallFailure(
    kind=FailureKind.NOT_SENT,
    billing=Billing.NOT_BILLED,
    message="The caller left before the call was sent; nothing was spent.",
    code=_CODE,
)


def refuse(reason: QueueRefusal, retry_after_s: float) -> CallFailure:
    """Return the failure of a call that is refused for *reason*; equal orders meet it too, unless it is about time."""
    return CallFailure(
        kind=FailureKind.NOT_SENT if reason in ("late", "slow", "hurried") else FailureKind.SHED,
        billing=Billing.NOT_BILLED,
        message=f"{_MESSAGES[reason]} Nothing was spent; try again later.",
        code=_CODE,
        retry_after_s=max(1.0, retry_after_s),
    )
