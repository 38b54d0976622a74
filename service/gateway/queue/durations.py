"""Learn how long calls take, by kind, from those of the last five minutes.

A call gets the time that nine of ten of its kind needed, or three of four if an order has no more: a few calls that hang
are no reason to refuse all. A kind with too few calls is not judged. Calls that come back although they were given up as
hopeless make the gateway forget what it knew before.

The latest answers of a kind, however old, tell when a call of it is overdue: a provider that hangs gives no others.
"""

import math
from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import NamedTuple

from cachetools import LRUCache

from service.gateway.routing.route import Route
from service.ports.clock import Clock

WINDOW_S = 300.0
"""Age at which a call says nothing any more."""
FEWEST = 20
"""Calls without which nothing is known."""
_MOST = 100
"""Calls that count: if a provider slows down, the next ten to twenty-five show it."""
_MOST_CALLS, _USUAL_CALLS = 0.9, 0.75
_SPARE = 1.25
"""An answer must also be stored and sent, and a busy machine is late with all of it."""
_PROBES = 3
"""Hopeless calls that come back, until they are the rule."""
_MOST_KINDS = 512
_PATIENCE = 2.0
_LEAST_PATIENCE_S = 10.0
_FIRST_PATIENCE_S = 90.0
"""Age at which a call of a kind without any answer is overdue."""


class Kind(NamedTuple):
    """Calls that take about as long as each other.

    *size* is a class, each of twice the pixels of the one before; *images* is one, too: for one, up to four, or more.
    """

    model: str
    operation: str
    quality: str
    size: int
    images: int


class Durations:
    """The durations of the latest calls: those of each kind, and of all on each route."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kinds: LRUCache[Kind, _Window] = LRUCache(_MOST_KINDS)
        self._by_route: defaultdict[Route, _Window] = defaultdict(_Window)

    def note_answer(self, kind: Kind, route: Route, duration_s: float, *, is_probe: bool) -> None:
        """Count a call that was made; *is_probe* if that was not expected in its time."""
        window = self._window(kind)
        window.add(self._clock.monotonic_s(), duration_s, is_answered=True)
        self._by_route[route].add(self._clock.monotonic_s(), duration_s, is_answered=True)
        window.probes += is_probe
        if window.probes == _PROBES:
            window.keep_latest(_PROBES)

    def note_silence(self, kind: Kind, route: Route, age_s: float, *, is_probe: bool) -> None:
        """Count a call that had no answer at *age_s*, unless none could be expected so early."""
        window = self._window(kind)
        quantiles = window.quantiles_s(self._clock.monotonic_s())
        if quantiles is not None and age_s < quantiles[0] and not is_probe:
            return
        window.add(self._clock.monotonic_s(), age_s, is_answered=False)
        self._by_route[route].add(self._clock.monotonic_s(), age_s, is_answered=False)
        window.probes = 0

    def due_s(self, kind: Kind) -> float:
        """Return the time in which most answers of this kind came, or infinity if there were too few.

        Silences say nothing here: many callers in a hurry would make any time look sufficient.
        """
        window = self._kinds.get(kind)
        return window.due_s(self._clock.monotonic_s()) if window else math.inf

    def patience_s(self, kind: Kind) -> float:
        """Return the age from which a call of this kind is overdue: twice what nine of ten of its latest answers took."""
        window = self._kinds.get(kind)
        latest = sorted(window.latest_answers_s) if window else []
        if not latest:
            return _FIRST_PATIENCE_S
        return max(_LEAST_PATIENCE_S, _PATIENCE * latest[math.ceil(len(latest) * _MOST_CALLS) - 1])

    def is_overdue(self, kind: Kind, began_s: float, answered_s: float) -> bool:
        """Tell if a call that *began_s* is overdue at a key that last answered at *answered_s*, and for as long no other."""
        silent_s = self._clock.monotonic_s() - max(began_s, answered_s)
        return silent_s >= _LEAST_PATIENCE_S and silent_s > self.patience_s(kind)

    def needed_s(self, kind: Kind, within_s: float) -> float | None:
        """Return the time that a call of this kind must have in an order of *within_s*, or None if nothing is known."""
        window = self._kinds.get(kind)
        quantiles = window.quantiles_s(self._clock.monotonic_s()) if window else None
        if quantiles is None:
            return None
        usual_s, most_s = quantiles
        return (most_s if most_s * _SPARE <= within_s else usual_s) * _SPARE

    def is_hopeless(self, kind: Kind, left_s: float) -> bool:
        """Tell if even the quickest call of this kind took longer than *left_s*: a probe would teach nothing."""
        window = self._kinds.get(kind)
        return window is not None and left_s < window.shortest_s() < math.inf

    def mean_s(self, route: Route) -> float | None:
        """Return the time that a call of any kind takes on average on *route*, or None if nothing is known."""
        return self._by_route[route].mean_s(self._clock.monotonic_s())

    def _window(self, kind: Kind) -> "_Window":
        window = self._kinds.get(kind)
        if window is None:
            window = self._kinds[kind] = _Window()
        return window


class _Sample(NamedTuple):
    at_s: float
    duration_s: float
    is_answered: bool


class _Window:
    """The latest calls, *probes* of them in a row hopeless and answered; and the latest answers of any age."""

    def __init__(self) -> None:
        self.probes = 0
        self.latest_answers_s: deque[float] = deque(maxlen=FEWEST)
        self._samples: deque[_Sample] = deque()
        # Each order asks for quantiles, and each call adds a duration.
        self._sorted_s: list[float] = []

    def add(self, at_s: float, duration_s: float, *, is_answered: bool) -> None:
        if len(self._samples) == _MOST:
            self._drop_oldest()
        self._samples.append(_Sample(at_s, duration_s, is_answered))
        insort(self._sorted_s, duration_s)
        if is_answered:
            self.latest_answers_s.append(duration_s)

    def keep_latest(self, samples: int) -> None:
        """Forget all samples but the latest."""
        self.probes = 0
        while len(self._samples) > samples:
            self._drop_oldest()

    def quantiles_s(self, now_s: float) -> tuple[float, float] | None:
        """Return the times that the usual calls and most calls needed; one without an answer counts at its age."""
        if not self._is_known(now_s):
            return None
        number = len(self._sorted_s)
        usual, most = math.ceil(number * _USUAL_CALLS) - 1, math.ceil(number * _MOST_CALLS) - 1
        return self._sorted_s[usual], self._sorted_s[most]

    def mean_s(self, now_s: float) -> float | None:
        if not self._is_known(now_s):
            return None
        return sum(self._sorted_s) / len(self._samples)

    def due_s(self, now_s: float) -> float:
        """Return the time that most calls with an answer needed, or infinity if too few had one."""
        self._forget_old(now_s)
        answered = sorted(self._answered())
        most = math.ceil(len(answered) * _MOST_CALLS) - 1
        return answered[most] if len(answered) >= FEWEST else math.inf

    def shortest_s(self) -> float:
        """Return the shortest time in which a call was answered, or infinity."""
        return min(self._answered(), default=math.inf)

    def _answered(self) -> Iterator[float]:
        return (sample.duration_s for sample in self._samples if sample.is_answered)

    def _is_known(self, now_s: float) -> bool:
        self._forget_old(now_s)
        return len(self._samples) >= FEWEST

    def _forget_old(self, now_s: float) -> None:
        while self._samples and self._samples[0].at_s < now_s - WINDOW_S:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        del self._sorted_s[bisect_left(self._sorted_s, self._samples.popleft().duration_s)]
