"""Hand each fact of the use cases to those who count, remember or log its kind.

Failure behaviour: open. Takers neither raise nor block.
"""

from collections.abc import Callable, Mapping
from typing import Any

from service.ports.telemetry import TelemetryFact

Takers = Mapping[type[Any], Callable[[Any], None]]
"""Functions by the kind of fact that each takes."""


class FactRecorder:
    """Implements `ports.telemetry.Telemetry`; every kind of fact goes to its *takers*, in their order."""

    def __init__(self, *takers: Takers) -> None:
        kinds = dict.fromkeys(kind for each in takers for kind in each)
        self._takers = {kind: [each[kind] for each in takers if kind in each] for kind in kinds}

    def record(self, fact: TelemetryFact) -> None:
        """Implement `Telemetry.record`."""
        for take in self._takers.get(type(fact), ()):
            take(fact)
