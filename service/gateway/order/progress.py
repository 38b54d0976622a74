"""Hold the results of an order so far, and derive its next ask, an empty settlement and its failures.

Changed by the order's task and by its calls, all on one event loop; nothing in this module
waits, so no operation can stop half-way.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from service.domain import bridge
from service.domain.errors import GatewayError, OrderFailed
from service.domain.failures import CallFailure
from service.domain.images import Image, ImageOrder, ImageReady, Source
from service.domain.limits import limits_of
from service.gateway.admission.shared import LEASE_S
from service.gateway.order.accept import Accepted
from service.gateway.order.runner import RunningOrder
from service.ports.admission import Ask, Settlement


@dataclass(slots=True, kw_only=True)
class Progress:
    """The results of an order so far. *used* are pool indices that must not be given to it again."""

    accepted: Accepted
    running: RunningOrder
    round: int = 0
    used: list[int] = field(default_factory=list)
    awaiting: tuple[int, ...] = ()
    waits_since_s: float = 0.0
    filled: int = 0
    failures: list[CallFailure] = field(default_factory=list)
    error: GatewayError | None = None
    is_dispatched: bool = False
    is_begun: bool = False
    is_concluded: bool = False

    @property
    def order(self) -> ImageOrder:
        """The order in the words of its caller."""
        return self.accepted.order

    def next_ask(self, n: int, now_s: float) -> Ask:
        """Return the next ask, for *n* images; *now_s* is an instant of the monotonic clock."""
        accepted, order, cache = self.accepted, self.order, self.order.cache
        ask = Ask(
            id=order.id,
            round=self.round,
            team=order.caller.team,
            user=order.caller.user,
            model=accepted.sent.model,
            realm=accepted.realm,
            pool=accepted.pool,
            n=n,
            limits=limits_of(order.caller),
            scopes=tuple((scope.name, scope.key) for scope in order.caller.scopes),
            key_id=order.caller.key_id,
            weight=accepted.price.weight,
            estimate_microusd=accepted.price.microusd,
            idempotency=accepted.idempotency,
            max_age_s=cache.max_age_s,
            fresh=not cache.reuse,
            only_ready=cache.only_if_cached,
            used=tuple(self.used),
            # Once a lease has passed without an answer, the maker may be as dead as Redis.
            awaiting=self.awaiting if now_s - self.waits_since_s < LEASE_S else (),
        )
        self.round += 1
        return ask

    def deliver(
        self, place: int, image: Image, source: Source, data: bytes | None, *, age_s: float = 0.0
    ) -> None:
        """Fill *place* of the answer."""
        self.filled += 1
        self.running.emit(ImageReady(position=place, image=image, source=source, data=data, age_s=age_s))

    def nothing_made(self, part: str) -> Settlement:
        """Return a settlement without images; callers add the rest."""
        caller = self.order.caller
        return Settlement(
            id=self.order.id,
            part=part,
            fence="",
            team=caller.team,
            user=caller.user,
            model=self.accepted.sent.model,
            realm=self.accepted.realm,
            pool=self.accepted.pool,
            limits=(),
        )

    def failed(self, failures: Iterable[CallFailure]) -> OrderFailed:
        """Return *failures* as the order's error, in the words of the asked model."""
        asked = self.accepted.asked
        return OrderFailed(
            tuple(bridge.in_words_of(asked, failure) for failure in failures), kept=self.filled
        )
