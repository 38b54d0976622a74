"""Everything that can go wrong with an order, as one tree.

Owns the error classes; does not own HTTP statuses (`service.http.errors`) nor the failures
of single calls (`service.domain.failures`), which are values.

How to add one: a subclass of `GatewayError` with a text that is safe to show, its line in the tree below, its row in
`service/http/errors.py` and an example in `tests/http/test_error_table.py`. That test and `tests/domain/test_errors.py`
name an error without one of them. A new `FailureKind` is a match that mypy asks for in `service/http/errors.py`, and a
value in `docs/metrics.md` that `tests/test_metrics_page.py` asks for.

    GatewayError
    ├── InvalidOrder          the caller's mistake, found before anything is spent
    ├── Unauthenticated       no, unknown, expired or revoked credentials where some are required
    ├── PermissionDenied      known credentials that may not do this
    ├── ModelNotAllowed       a policy does not allow the asked model
    ├── PriceUnknown          money is limited and the model has no price
    ├── NotFound              an admin names a missing key, policy or team
    ├── Conflict              an admin's act that the present state forbids
    ├── RateLimited           a limit of one of the caller's policies has no room
    ├── IdempotencyMismatch   an `Idempotency-Key` came again with another order
    ├── OrderUnderWay         the order of this `Idempotency-Key` is still being worked on
    ├── ImageGone             an answer cannot be repeated: one of its images is not kept any more
    ├── NotCached             `only-if-cached` and there is too little in the pool
    ├── OrderFailed           the calls of an order failed; carries their failures
    ├── DeadlineExceeded      the order's deadline passed before its images were there
    ├── StateUnavailable      Redis did not answer in time, or answered with an error
    ├── StoreUnavailable      the image store cannot be read or written
    ├── ImageMissing          a stored image is not there (any more)
    ├── ImageNotKept          a good link to an image that is not kept any more
    ├── LinkExpired           a signed link whose time is over
    ├── LinkRefused           a signed link is forged or altered
    └── Draining              the process is shutting down and takes no new orders
"""

from dataclasses import dataclass

from service.domain.failures import CallFailure
from service.domain.limits import Unit, Window, kind_of


class GatewayError(Exception):
    """Base of the tree; its text is safe to show to the caller."""


class InvalidOrder(GatewayError):
    """The model of the order does not take it.

    *code* and *error_type* are the ones OpenAI answers in the same case, so that
    clients which match on them keep working.
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
    """Credentials are missing, unknown, expired or revoked."""


class PermissionDenied(GatewayError):
    """The credentials are valid, but lack the right."""


class ModelNotAllowed(GatewayError):
    """A policy of the caller does not list the asked model."""

    def __init__(self, model: str, scope: str) -> None:
        super().__init__(
            f"The model '{model[:100]}' does not exist or this {scope} does not have access to it. "
            "GET /v1/usage lists the models that are allowed."
        )


class PriceUnknown(GatewayError):
    """The caller has a budget, and the model's price is not in the catalogue: unknown is not free."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"The price of '{model[:100]}' is not known, and this caller has a budget. "
            "An operator can add the price to the catalogue, or set GATEWAY_UNPRICED=count."
        )


class NotFound(GatewayError):
    """No key, policy or team has this name."""


class Conflict(GatewayError):
    """The present state forbids the act: the target is declared in the file, in use, or closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitState:
    """The state of one limit after a decision.

    *resource* is a `limits.Resource`; *limit* and *remaining* are in its unit (requests,
    images as weighted, images, micro-dollars). *reset_s* is the time until the whole
    limit is free again, or until its day or month ends; 0 for images in flight.
    """

    resource: str
    scope: str
    limit: int
    remaining: int
    reset_s: float


_ENDS = {Window.DAY: "at midnight UTC", Window.MONTH: "with the next month (UTC)"}


class RateLimited(GatewayError):
    """A limit refused; after *retry_after_s* the same order passes, if no other takes the room.

    For images in flight that is a guess: the end of another order is unknown. *image_microusd* is
    the estimate for one image of the order; None is an unknown price.
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
            return f"Rate limit reached for {name}: {use}. Please try again in {retry_after_s:.3f}s."


class IdempotencyMismatch(GatewayError):
    """The key was used for another order within the last 24 hours."""

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used with other parameters. Use a new key for a new order, "
            "and the same parameters to repeat one."
        )


class OrderUnderWay(GatewayError):
    """The same key's order did not end before this one's deadline."""

    def __init__(self) -> None:
        super().__init__("An order with this Idempotency-Key is still being worked on. Try again later.")


class ImageGone(GatewayError):
    """An image of an answer to be repeated is not kept any more."""

    def __init__(self) -> None:
        super().__init__(
            "The answer to this Idempotency-Key had an image that is not kept any more. "
            "Order with a new key to have it made again."
        )


class NotCached(GatewayError):
    """`only-if-cached` was asked, and fewer than n images are in the pool."""


class OrderFailed(GatewayError):
    """Some or all calls of an order failed.

    *kept* images were made and stay in the pool: the same order gets them
    again for free.
    """

    def __init__(self, failures: tuple[CallFailure, ...], *, kept: int) -> None:
        super().__init__(failures[0].message)
        self.failures = failures
        self.kept = kept


class DeadlineExceeded(GatewayError):
    """The deadline passed; *dispatched* tells if calls had been sent, *kept* counts finished images."""

    def __init__(self, *, dispatched: bool, kept: int = 0) -> None:
        super().__init__("The order did not finish before its deadline (x-request-timeout-s).")
        self.dispatched = dispatched
        self.kept = kept


class StateUnavailable(GatewayError):
    """Redis, or the identity provider's keys, failed; *reason* is a metric label from a closed set."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            "Tokens cannot be checked now: the keys of the identity provider cannot be read."
            if reason == "jwks"
            else "The gateway's shared state is unavailable."
        )
        self.reason = reason

    @property
    def is_about_keys(self) -> bool:
        """Tell if the server answers, but a key of one team has the wrong type."""
        return self.reason in ("wrongtype", "response", "mixed_up")


class StoreUnavailable(GatewayError):
    """The image store cannot be written or read right now."""

    def __init__(self) -> None:
        super().__init__(
            "The image store is unavailable. Try again, or order with response_format=b64_json and "
            "cache-control: no-cache, which needs no store."
        )


class ImageMissing(GatewayError):
    """No image is stored under this name."""

    def __init__(self, message: str = "This image does not exist, or is not kept any more.") -> None:
        super().__init__(message)


class ImageNotKept(GatewayError):
    """The image of a valid link was deleted, has expired, or lost its bytes."""

    def __init__(self) -> None:
        super().__init__("This image is not kept any more. Order it again to have it made again.")


class LinkExpired(GatewayError):
    """A signed link is the gateway's own, and has expired."""

    def __init__(self) -> None:
        super().__init__("This link has expired. Order the image again for a new link.")


class LinkRefused(GatewayError):
    """A signed link is forged or altered."""

    def __init__(self) -> None:
        super().__init__("This link is not valid. Order the image again for a new link.")


class Draining(GatewayError):
    """The process is shutting down."""

    def __init__(self) -> None:
        super().__init__("The gateway is restarting; please try again.")
