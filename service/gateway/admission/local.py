"""Admit orders without Redis, from this process's share of every limit and with its own claims.

Failure behaviour: open, bounded. Each process admits *limit ÷ live processes* (at least 1): rates by the
same GCRA as the script, days and images in flight by counting its own admissions. A limit of money has no
share: such orders are refused unless the operator chose otherwise. The cache is not read; equal orders
share calls within the process only, with those that Redis granted before, and their windows begin anew. The journal
settles results later.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from types import MappingProxyType

from cachetools import LRUCache

from service.domain import gcra
from service.domain.errors import LimitState, RateLimited, StateUnavailable
from service.domain.limits import Limit, Unit, Window, kind_of
from service.gateway.admission.fanout_windows import FanoutWindows
from service.ports.admission import Ask, Grant, Settlement
from service.ports.clock import Clock

MAX_SCOPES = 10_000
"""Most limit states to keep; the least recently used goes first."""

_MOST_MADE = 10_000
_DAY_S = 86400
_IN_FLIGHT_WAIT_S = 1.0

_Scope = tuple[str, str, str, str]

_NONE_RUN: Mapping[tuple[str, str], int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Verdict:
    """The verdict of one limit: *state* after the charge, *wait_s* above 0 for a refusal, *use* to remember (a GCRA's arrival time)."""

    state: LimitState
    wait_s: float
    use: int


class LocalShare:
    """The part of every limit that a process may use by itself while Redis is away.

    *processes* share every limit: the configured number, or the last reported one if that is larger. *fanout_window_s*
    lasts a window of equal orders, 0 none.
    """

    def __init__(
        self, *, clock: Clock, processes: int, spends_budgets: bool = False, fanout_window_s: float = 0.0
    ) -> None:
        self._clock = clock
        self._expected = self._processes = processes
        self._spends_budgets = spends_budgets
        self._arrivals_us: LRUCache[_Scope, int] = LRUCache(MAX_SCOPES)
        self._days: LRUCache[_Scope, tuple[int, int]] = LRUCache(MAX_SCOPES)
        self._in_flight: Counter[_Scope] = Counter()
        self._holds: dict[str, tuple[tuple[_Scope, ...], int]] = {}
        self._claims: dict[str, dict[int, str]] = {}
        self._windows = FanoutWindows(clock, fanout_window_s)
        # Below zero, unlike all indices of the script.
        self._indices = count(-1, -1)
        self._made: LRUCache[int, str] = LRUCache(_MOST_MADE)

    def share_among(self, processes: int) -> None:
        """Divide every limit by the number of live *processes*."""
        self._processes = max(processes, self._expected)

    def begin(
        self, ask: Ask, claimed: Sequence[int] = (), running: Mapping[tuple[str, str], int] = _NONE_RUN
    ) -> Grant:
        """Admit from the local share; *claimed* indices of the pool are being made by orders of this process.

        *running* are the images in flight here that Redis granted, by the name and key of their scope.

        Raises:
            RateLimited: the share is used up; nothing was charged.
            StateUnavailable: the rest of the caller's budget is unknown.
        """
        pool = ask.ticket.pool
        may_wait = pool and ask.cache.reuse and not ask.cache.only_if_cached
        others = (*claimed, *self._claims.get(pool, {})) if pool and may_wait else ()
        others = tuple(index for index in others if index not in ask.used)
        window = self._windows.find(ask)
        if window is None:
            awaited = others[: ask.n]
        else:
            chosen = window.choose((), others)
            awaited = () if chosen is None else (chosen,)
        to_make = 0 if ask.cache.only_if_cached else ask.n - len(awaited)
        limits = self._charge(ask, to_make, running)
        mine = tuple(next(self._indices) for _ in range(to_make))
        if pool and mine:
            self._claims.setdefault(pool, {}).update(dict.fromkeys(mine, ask.fence))
        grant = Grant(ready=(), mine=mine, awaited=awaited, limits=limits, degraded=True)
        if window is None:
            return grant
        self._windows.note(ask, window, (*awaited, *mine)[0])
        return replace(grant, equal=window.orders + 1, passed_over=window.passed_over)

    def digests_of(self, indices: Iterable[int]) -> set[str]:
        """Return the digests of the images made under the local indices among *indices*."""
        return {self._made[index] for index in indices if index in self._made}

    def finish(self, settlement: Settlement) -> None:
        """Drop the local claims and slots that a settlement ends."""
        for index, image in settlement.made:
            if index is not None and index < 0:
                self._made[index] = image.digest
        ended = [*(index for index, _ in settlement.made if index is not None), *settlement.released]
        self._free_slots(settlement.fence, len(ended))
        pool = settlement.ticket.pool or ""
        claims = self._claims.get(pool, {})
        for index in ended:
            claims.pop(index, None)
        if not claims:
            self._claims.pop(pool, None)

    def _charge(
        self, ask: Ask, images: int, running: Mapping[tuple[str, str], int]
    ) -> tuple[LimitState, ...]:
        limits = [limit for limit in ask.ticket.limits if kind_of(limit.resource).has_local_share]
        if len(limits) < len(ask.ticket.limits) and images and not self._spends_budgets:
            raise StateUnavailable("degraded")
        verdicts = [self._judge(ask, limit, images, running) for limit in limits]
        worst = max(verdicts, key=lambda verdict: verdict.wait_s, default=None)
        if worst is not None and worst.wait_s > 0:
            # All or none: limits with room are not charged either.
            before = tuple(self._judge(ask, limit, 0, running, requests=0).state for limit in limits)
            refused = before[verdicts.index(worst)]
            raise RateLimited(refused, retry_after_s=worst.wait_s, limits=before, degraded=True)
        for limit, verdict in zip(limits, verdicts, strict=True):
            self._remember(ask, limit, verdict, images)
        return tuple(verdict.state for verdict in verdicts)

    def _judge(
        self,
        ask: Ask,
        limit: Limit,
        images: int,
        running: Mapping[tuple[str, str], int],
        *,
        requests: int = 1,
    ) -> _Verdict:
        window, share = kind_of(limit.resource).window, max(1, limit.amount // self._processes)
        scope = _scope(ask.ticket.caller.team, limit)
        # An order larger than the share takes all of it, or it could never pass during the outage.
        wanted = min(_wanted(ask, limit, images, requests), share)
        if window is Window.MINUTE:
            now_us = int(self._clock.monotonic_s() * 1e6)
            rate = gcra.decide(self._arrivals_us.get(scope, 0), now_us, wanted, share)
            state = _state(limit, share, rate.remaining, rate.reset_us / 1e6)
            return _Verdict(state, rate.retry_after_us / 1e6, rate.arrival_us)
        if window is Window.DAY:
            day, seconds = divmod(self._clock.wall_s(), _DAY_S)
            counted_day, counted = self._days.get(scope, (0, 0))
            used, ends_s = counted if counted_day == int(day) else 0, _DAY_S - seconds
            wait_s = ends_s
        else:
            used = self._in_flight[scope] + running.get((limit.scope, limit.key), 0)
            ends_s, wait_s = 0.0, _IN_FLIGHT_WAIT_S
        state = _state(limit, share, max(0, share - used - wanted), ends_s)
        return _Verdict(state, wait_s if wanted and used + wanted > share else 0.0, used + wanted)

    def _remember(self, ask: Ask, limit: Limit, verdict: _Verdict, images: int) -> None:
        scope = _scope(ask.ticket.caller.team, limit)
        window = kind_of(limit.resource).window
        if window is Window.MINUTE:
            self._arrivals_us[scope] = verdict.use
        elif window is Window.DAY:
            self._days[scope] = (int(self._clock.wall_s() // _DAY_S), verdict.use)
        elif images:
            self._in_flight[scope] += images
            scopes, _ = self._holds.get(ask.fence, ((), 0))
            self._holds[ask.fence] = ((*scopes, scope), images)

    def _free_slots(self, fence: str, images: int) -> None:
        scopes, held = self._holds.pop(fence, ((), 0))
        freed = min(images, held)
        for scope in scopes:
            self._in_flight[scope] -= freed
            if not self._in_flight[scope]:
                del self._in_flight[scope]
        if freed < held:
            self._holds[fence] = (scopes, held - freed)


def _state(limit: Limit, share: int, remaining: int, reset_s: float) -> LimitState:
    return LimitState(
        resource=limit.resource, scope=limit.scope, limit=share, remaining=remaining, reset_s=reset_s
    )


def _wanted(ask: Ask, limit: Limit, images: int, requests: int) -> int:
    """Return the units that *ask* takes of *limit*."""
    kind = kind_of(limit.resource)
    if kind.unit is Unit.REQUESTS:
        return requests if ask.round == 0 else 0
    return images if kind.window is Window.HELD else images * ask.ticket.price.weight


def _scope(team: str, limit: Limit) -> _Scope:
    return (limit.resource, team, limit.scope, limit.key)
