"""Watch the parts that a gateway needs, and the lag of its event loop, twice a second.

Remembers since when each part is in its condition, for `/readyz?verbose`, and reports the time in which one did not
work. A condition that lasts for less than half a second may be missed.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from service.domain.conditions import Condition
from service.ports.clock import Clock
from service.ports.telemetry import LoopLagged, Part, PartAway, Telemetry

PAUSE_S = 0.5
AWAY = frozenset({"degraded", "failing", "refused", "silent", "unreachable"})
"""Words of a part that does not work."""
_PARTS: Mapping[Part, str] = {
    "redis": "state",
    "store": "store",
    "journal": "journal",
    "provider": "provider",
}
"""The names of looks by those of parts in metrics."""


class PartsWatch:
    """Looks at parts by name; *looks* are their conditions, whose start they need not know."""

    def __init__(
        self, looks: Mapping[str, Callable[[], Condition]], *, clock: Clock, telemetry: Telemetry
    ) -> None:
        self._looks = looks
        self._clock = clock
        self._telemetry = telemetry
        self._found: dict[str, Condition] = {}
        self.look()

    def look(self) -> Mapping[str, Condition]:
        """Return the conditions of now; those that did not change keep their start."""
        for name, look in self._looks.items():
            found, known = look(), self._found.get(name)
            if found.since_s is None:
                is_same = known is not None and known.word == found.word
                found = replace(found, since_s=known.since_s if known and is_same else self._clock.wall_s())
            self._found[name] = found
        return dict(self._found)

    async def watch_forever(self) -> None:
        """Look at all parts twice a second."""
        while True:
            began_s = self._clock.monotonic_s()
            await asyncio.sleep(PAUSE_S)
            self.note(self._clock.monotonic_s() - began_s)

    def note(self, passed_s: float) -> None:
        """Report a turn that took *passed_s* instead of `PAUSE_S`, and the parts that did not work in it."""
        self._telemetry.record(LoopLagged(lag_s=max(0.0, passed_s - PAUSE_S)))
        found = self.look()
        for part, name in _PARTS.items():
            if found[name].word in AWAY:
                self._telemetry.record(PartAway(part=part, away_s=passed_s))
