"""Render the metrics for scrapes: those that arrive together share a rendering, so that many cannot stop the orders.

The loop renders, so each rendering delays all orders. One is followed by a pause of nine times its duration: scrapes take
at most a tenth of the loop, however many there are. It never lasts more than a second.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

from service.ports.clock import Clock

_PAUSE = 9
"""Durations of a rendering without another."""
_LONGEST_PAUSE_S = 1.0
"""A process that was stopped for a while is scraped in time again."""

Rendered = tuple[bytes, str]
"""The body, and its media type."""


@dataclass(frozen=True, slots=True)
class _Rendering:
    began_s: float
    result: Rendered


class Scrapes:
    """The scrapes of one process; *render* takes whether OpenMetrics is wanted."""

    def __init__(self, render: Callable[[bool], Rendered], clock: Clock) -> None:
        self._render = render
        self._clock = clock
        self._turn = asyncio.Lock()
        self._latest: dict[bool, _Rendering] = {}
        self._rest_until_s = -math.inf

    async def render(self, is_openmetrics: bool) -> Rendered:
        """Return the metrics as they are now or, during a pause, at its end."""
        arrived_s = self._clock.monotonic_s()
        async with self._turn:
            latest = self._latest.get(is_openmetrics)
            if latest is None or latest.began_s <= arrived_s:
                await asyncio.sleep(max(0.0, self._rest_until_s - self._clock.monotonic_s()))
                latest = self._latest[is_openmetrics] = self._render_now(is_openmetrics)
        return latest.result

    def _render_now(self, is_openmetrics: bool) -> _Rendering:
        began_s = self._clock.monotonic_s()
        result = self._render(is_openmetrics)
        ended_s = self._clock.monotonic_s()
        self._rest_until_s = ended_s + min(_PAUSE * (ended_s - began_s), _LONGEST_PAUSE_S)
        return _Rendering(began_s, result)
