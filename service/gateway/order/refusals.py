"""Remember refused orders for a while, so that a storm of retries costs nothing.

By team and fingerprint: no team may learn of another's refusals. In this process only; classifiers
change and sampling is not exact, so refusals are forgotten soon.
"""

from cachetools import TTLCache

from service.domain.failures import CallFailure, FailureKind
from service.ports.clock import Clock

REMEMBER_S = 300.0
MOST = 10_000


class RefusedOrders:
    """The refusals that a process remembers, bounded in number and time."""

    def __init__(self, clock: Clock) -> None:
        self._refusals: TTLCache[str, CallFailure] = TTLCache(MOST, REMEMBER_S, timer=clock.monotonic_s)

    def find(self, name: str) -> CallFailure | None:
        """Return the recent refusal of the orders *name*."""
        return self._refusals.get(name)

    def note(self, name: str, failure: CallFailure) -> None:
        """Remember *failure* if it is a refusal."""
        if failure.kind is FailureKind.REFUSED:
            self._refusals[name] = failure
