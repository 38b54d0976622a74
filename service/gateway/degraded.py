"""Admission without Redis: this process's share of every limit, and its own claims.

Failure behaviour: open, bounded. Each process admits *limit ÷ processes* (at least
1), decided by the same GCRA as the script; nothing is read from the cache;
identical orders share their calls within the process only. What is made is
settled later through the outbox.
"""

from collections import OrderedDict
from itertools import count

from service.domain import gcra
from service.domain.errors import LimitState, RateLimited
from service.ports import Ask, Clock, Grant, Limit, Settlement

MAX_SCOPES = 10_000
"""Limit states kept at most; the longest unused goes first."""


class LocalShare:
    """What a process may hand out by itself while the shared state is away."""

    def __init__(self, *, clock: Clock, processes: int) -> None:
        self._clock = clock
        self._processes = processes
        self._arrivals_us: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._claims: dict[str, dict[int, str]] = {}
        # Below zero, so that they never meet an index the script gave.
        self._indices = count(-1, -1)

    def begin(self, ask: Ask) -> Grant:
        """Admit from the local share.

        Raises:
            RateLimited: the share is used up; nothing was charged.
        """
        others = self._claims.get(ask.pool, {}) if ask.pool and not ask.fresh else {}
        awaited = tuple(index for index in others if index not in ask.used)[: ask.n]
        to_make = 0 if ask.only_ready else ask.n - len(awaited)
        limits = self._charge(ask, to_make)
        mine = tuple(next(self._indices) for _ in range(to_make))
        if ask.pool and mine:
            self._claims.setdefault(ask.pool, {}).update(dict.fromkeys(mine, ask.fence))
        return Grant(ready=(), mine=mine, awaited=awaited, limits=limits, degraded=True)

    def finish(self, settlement: Settlement) -> None:
        """Drop the local claims that a settlement ends."""
        claims = self._claims.get(settlement.pool or "")
        if claims is None:
            return
        for index in (*(index for index, _ in settlement.made), *settlement.released):
            claims.pop(index, None) if index is not None else None
        if not claims:
            del self._claims[settlement.pool or ""]

    def _charge(self, ask: Ask, images: int) -> tuple[LimitState, ...]:
        now_us = int(self._clock.monotonic_s() * 1e6)
        weights = {"requests": 1 if ask.round == 0 else 0, "images": images}
        decisions = [(limit, self._decide(limit, weights[limit.resource], now_us)) for limit in ask.limits]
        states = tuple(_state(limit, self._share(limit), decision) for limit, decision in decisions)
        refusals = [
            (decision.retry_after_us, state)
            for (_, decision), state in zip(decisions, states, strict=True)
            if not decision.allowed
        ]
        if refusals:
            retry_after_us, state = max(refusals, key=lambda refusal: refusal[0])
            raise RateLimited(state, retry_after_s=retry_after_us / 1e6, limits=states, degraded=True)
        for limit, decision in decisions:
            self._remember((limit.resource, limit.key), decision.arrival_us)
        return states

    def _decide(self, limit: Limit, weight: int, now_us: int) -> gcra.Decision:
        arrival_us = self._arrivals_us.get((limit.resource, limit.key), 0)
        return gcra.decide(arrival_us, now_us, weight, self._share(limit))

    def _share(self, limit: Limit) -> int:
        return max(1, limit.per_min // self._processes)

    def _remember(self, scope: tuple[str, str], arrival_us: int) -> None:
        self._arrivals_us[scope] = arrival_us
        self._arrivals_us.move_to_end(scope)
        if len(self._arrivals_us) > MAX_SCOPES:
            self._arrivals_us.popitem(last=False)


def _state(limit: Limit, share: int, decision: gcra.Decision) -> LimitState:
    return LimitState(
        resource=limit.resource,
        scope=limit.scope,
        limit=share,
        remaining=decision.remaining,
        reset_s=decision.reset_us / 1e6,
    )
