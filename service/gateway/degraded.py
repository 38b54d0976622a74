"""Admission without Redis: this process's share of every limit, and its own claims.

Failure behaviour: open, bounded. Each process admits *limit ÷ processes* (at least
1), decided by the same GCRA as the script; nothing is read from the cache;
identical orders share their calls within the process only. What is made is
settled later through the outbox.
"""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import count

from service.domain import gcra
from service.domain.errors import LimitState, RateLimited
from service.ports import Ask, Clock, Grant, Limit, Settlement

MAX_SCOPES = 10_000
"""Limit states kept at most; the longest unused goes first."""


_Scope = tuple[str, str, str, str]


class LocalShare:
    """What a process may hand out by itself while the shared state is away."""

    def __init__(self, *, clock: Clock, processes: int) -> None:
        self._clock = clock
        self._processes = processes
        self._arrivals_us: OrderedDict[_Scope, int] = OrderedDict()
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
        decisions = [self._decide(ask.team, limit, weights[limit.resource], now_us) for limit in ask.limits]
        retry_after_us = max((decision.retry_after_us for decision in decisions), default=0)
        if retry_after_us > 0:
            # All or none: what the others allowed is not charged either.
            before = [self._decide(ask.team, limit, 0, now_us) for limit in ask.limits]
            states = self._states(ask.limits, before)
            refused = next(
                state
                for state, decision in zip(states, decisions, strict=True)
                if decision.retry_after_us == retry_after_us
            )
            raise RateLimited(refused, retry_after_s=retry_after_us / 1e6, limits=states, degraded=True)
        for limit, decision in zip(ask.limits, decisions, strict=True):
            self._remember(_scope(ask.team, limit), decision.arrival_us)
        return self._states(ask.limits, decisions)

    def _decide(self, team: str, limit: Limit, weight: int, now_us: int) -> gcra.Decision:
        arrival_us = self._arrivals_us.get(_scope(team, limit), 0)
        share = self._share(limit)
        # An order larger than the share takes all of it, or it could never pass while this lasts.
        return gcra.decide(arrival_us, now_us, min(weight, share), share)

    def _states(self, limits: Sequence[Limit], decisions: Sequence[gcra.Decision]) -> tuple[LimitState, ...]:
        return tuple(
            LimitState(
                resource=limit.resource,
                scope=limit.scope,
                limit=self._share(limit),
                remaining=decision.remaining,
                reset_s=decision.reset_us / 1e6,
            )
            for limit, decision in zip(limits, decisions, strict=True)
        )

    def _share(self, limit: Limit) -> int:
        return max(1, limit.per_min // self._processes)

    def _remember(self, scope: _Scope, arrival_us: int) -> None:
        self._arrivals_us[scope] = arrival_us
        self._arrivals_us.move_to_end(scope)
        if len(self._arrivals_us) > MAX_SCOPES:
            self._arrivals_us.popitem(last=False)


def _scope(team: str, limit: Limit) -> _Scope:
    return (limit.resource, team, limit.scope, limit.key)
