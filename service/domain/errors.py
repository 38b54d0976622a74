"""Define the errors of the gateway as one tree.

HTTP statuses are in `service.http.errors`, the failures of single calls, which are values, in
`service.domain.failures`.

How to add one: a subclass of `GatewayError` with a text that is safe to show, its line in the tree below, its row in
`service/http/errors.py` and an example in `tests/http/test_error_table.py`. That test and `tests/domain/test_errors.py`
name an error without one of them. A new `FailureKind` is a match that mypy asks for in `service/http/errors.py`, and a
value in `docs/metrics.md` that `tests/test_metrics_page.py` asks for.

    GatewayError
    ├── InvalidOrder          the caller's mistake, found before money is spent
    ├── Unauthenticated       credentials are missing, unknown, expired or revoked
    ├── PermissionDenied      the credentials are valid, but lack the right
    ├── ModelNotAllowed       a policy does not allow the asked model
    ├── PriceUnknown          the caller has a budget, and the model no price: unknown is not free
    ├── NotFound              no key, policy or team has this name
    ├── Conflict              an admin's target is declared in the file, in use, or closed
    ├── RateLimited           a limit of the caller has no room
    ├── BytesRefused          the process holds too many bytes to read the body of a request
    ├── IdempotencyMismatch   an `Idempotency-Key` was used for another order in the last 24 hours
    ├── OrderUnderWay         the order of the same `Idempotency-Key` did not end in time
    ├── ImageGone             an answer cannot be repeated without one of its images
    ├── NotCached             `only-if-cached`, and the pool has fewer than n images
    ├── OrderFailed           some or all calls of an order failed
    ├── DeadlineExceeded      the order's deadline passed before its images were made
    ├── CutOff                the process stopped after it had sent calls of the order
    ├── StateUnavailable      Redis, or the keys of the identity provider, failed
    ├── StoreUnavailable      the image store cannot be read or written now
    ├── ImageMissing          no image is stored under this name
    ├── ImageNotKept          the image of a valid link was deleted, has expired, or lost its bytes
    ├── LinkExpired           a signed link has expired
    ├── LinkRefused           a signed link is forged or altered
    └── Draining              the process is shutting down and takes no new orders
"""

from dataclasses import dataclass
from math import ceil
from typing import Literal

from service.domain.failures import CallFailure
from service.domain.limits import Unit, Window, kind_of


class GatewayError(Exception):
    """Base of the tree; its text, *message* or the one of its class, is safe to show to the caller.

    *pays_again*: a repeat of the order would pay again for an image that was made, or may have been.
    """

    text = ""
    pays_again = False

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.text)


class InvalidOrder(GatewayError):
    """An order that its model, or a rule of the gateway, does not allow.

    *code* and *error_type* are those of OpenAI in the same case, which clients may match.
    """

    def __init__(
        self,
        message: str,
        *,
        param: str | None,
        code: str | None = "invalid_value",
        error_type: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
        self.error_type = error_type


class Unauthenticated(GatewayError):
    """No valid credentials."""


class PermissionDenied(GatewayError):
    """Valid credentials without the right."""


class ModelNotAllowed(GatewayError):
    def __init__(self, model: str, scope: str) -> None:
        super().__init__(
            f"The model '{model[:100]}' does not exist or this {scope} does not have access to it. "
            "GET /v1/usage lists the models that are allowed."
        )


class PriceUnknown(GatewayError):
    def __init__(self, model: str) -> None:
        super().__init__(
            f"The price of '{model[:100]}' is not known, and this caller has a budget. "
            "An operator can add the price to the catalogue, or set GATEWAY_UNPRICED=count."
        )


class NotFound(GatewayError):
    """A missing key, policy or team."""


class Conflict(GatewayError):
    """An act that the state of its target forbids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitState:
    """The state of one limit after a decision.

    *resource* is a `limits.Resource`; *limit* and *remaining* are in its unit. *reset_s* is the time until
    the whole limit is free again, or until its day or month ends; 0 for images in flight.
    """

    resource: str
    scope: str
    limit: int
    remaining: int
    reset_s: float


_ENDS = {Window.DAY: "at midnight UTC", Window.MONTH: "with the next month (UTC)"}


class RateLimited(GatewayError):
    """A limit without room; after *retry_after_s* the same order passes, if no other takes the room.

    For images in flight that is a guess. *image_microusd* is the estimate for one image of the order;
    None is an unknown price.
    """

    def __init__(
        self,
        refused: LimitState,
        *,
        retry_after_s: float,
        limits: tuple[LimitState, ...],
        degraded: bool = False,
        image_microusd: int | None = None,
    ) -> None:
        super().__init__(_describe_limit(refused, retry_after_s, image_microusd))
        self.refused = refused
        self.retry_after_s = retry_after_s
        self.limits = limits
        self.degraded = degraded

    @property
    def is_quota(self) -> bool:
        """Tell if only the end of a day or a month helps, and a retry within minutes does not."""
        return kind_of(self.refused.resource).window in _ENDS


def _describe_limit(state: LimitState, retry_after_s: float, image_microusd: int | None) -> str:
    kind = kind_of(state.resource)
    name = f"{kind.words} of this {state.scope}"
    is_money = kind.unit is Unit.MICROUSD
    limit, used = (
        f"${amount / 1e6:.6f}" if is_money else str(amount)
        for amount in (state.limit, state.limit - state.remaining)
    )
    use = f"limit {limit}, used {used}"
    if is_money and image_microusd:
        use += f"; an image of this order is estimated at ${image_microusd / 1e6:.6f}"
    match kind.window:
        case Window.DAY | Window.MONTH:
            return f"You exceeded the {name}: {use}. It frees {_ENDS[kind.window]}."
        case Window.HELD:
            return f"Rate limit reached for {name}: {use}. It frees as they are finished."
        case Window.MINUTE:
            return f"Rate limit reached for {name}: {use}. Please try again in {max(1, ceil(retry_after_s * 1000)) / 1000:.3f}s."


RefusedFor = Literal["body", "caller", "total", "disk"]
"""The bound that a body would exceed: one body's or the caller's share, the sum of all callers, or the disk."""


class BytesRefused(GatewayError):
    """A body that the process has no room for; *share_bytes* is the most that one caller may send at once."""

    def __init__(self, reason: RefusedFor, share_bytes: int) -> None:
        super().__init__(
            {
                "body": f"The body of the request is larger than {share_bytes} bytes.",
                "caller": f"You send more than {share_bytes} bytes at once. Wait until some requests have ended.",
                "total": "The gateway receives too many bytes at once; please try again.",
                "disk": "The gateway's disk has no room for uploads now; please try again later.",
            }[reason]
        )
        self.reason = reason


class IdempotencyMismatch(GatewayError):
    text = (
        "This Idempotency-Key was used with other parameters. Use a new key for a new order, "
        "and the same parameters to repeat one."
    )


class OrderUnderWay(GatewayError):
    text = "An order with this Idempotency-Key is still being worked on. Try again later."


class ImageGone(GatewayError):
    text = (
        "The answer to this Idempotency-Key had an image that is not kept any more. "
        "Order with a new key to have it made again."
    )


class NotCached(GatewayError):
    """Too few images in the pool for `only-if-cached`."""


class OrderFailed(GatewayError):
    """Failed calls; a repeat of the order finds *kept* finished images for free, and pays again for *lost* ones."""

    def __init__(self, failures: tuple[CallFailure, ...], *, kept: int = 0, lost: int = 0) -> None:
        super().__init__(failures[0].message)
        self.failures = failures
        self.kept = kept
        self.lost = lost
        self.pays_again = lost > 0 or any(failure.may_be_billed for failure in failures)


class DeadlineExceeded(GatewayError):
    """A deadline passed; a repeat finds *kept* finished images."""

    text = "The order did not finish before its deadline (x-request-timeout-s)."

    def __init__(self, *, kept: int = 0) -> None:
        super().__init__()
        self.kept = kept


class CutOff(GatewayError):
    """The process stopped in the middle of a paid order; a repeat finds *kept* finished images."""

    text = "The gateway stopped before the order was finished. Its calls were sent, and may be billed."
    pays_again = True

    def __init__(self, *, kept: int = 0) -> None:
        super().__init__()
        self.kept = kept


class StateUnavailable(GatewayError):
    """A failure of the shared state; *reason* is a metric label from a closed set."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            "Tokens cannot be checked now: the keys of the identity provider cannot be read."
            if reason == "jwks"
            else "The gateway's shared state is unavailable."
        )
        self.reason = reason

    @property
    def is_unanswered(self) -> bool:
        """Tell if there was no answer: what was sent may have arrived."""
        return self.reason in ("timeout", "connection", "pool")

    @property
    def is_about_writes(self) -> bool:
        """Tell if the server answers, and takes no changes: a read proves nothing then."""
        return self.reason in ("oom", "readonly", "no_replicas", "misconf")

    @property
    def is_about_keys(self) -> bool:
        """Tell if the server answers, but a key of one team has the wrong type."""
        return self.reason in ("wrongtype", "response", "mixed_up")


class StoreUnavailable(GatewayError):
    text = (
        "The image store is unavailable. Try again, or order with response_format=b64_json and "
        "cache-control: no-cache, which needs no store."
    )


class ImageMissing(GatewayError):
    text = "This image does not exist, or is not kept any more."


class ImageNotKept(GatewayError):
    text = "This image is not kept any more. Order it again to have it made again."


class LinkExpired(GatewayError):
    text = "This link has expired. Order the image again for a new link."


class LinkRefused(GatewayError):
    text = "This link is not valid. Order the image again for a new link."


class Draining(GatewayError):
    text = "The gateway is restarting; please try again."
