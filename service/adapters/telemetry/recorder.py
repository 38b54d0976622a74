"""Pass each fact of the use cases to the handlers that count, remember or log its kind.

Failure behaviour: a handler that raises is logged; the others still get the fact, and the order goes on.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from service.ports.telemetry import TelemetryFact

Handlers = Mapping[type[Any], Callable[[Any], None]]
"""Functions by the kind of fact they take."""


_log = logging.getLogger(__name__)


class FactRecorder:
    """Implements `ports.telemetry.Telemetry`; passes a fact to all *handlers* of its kind, in order."""

    def __init__(self, *handlers: Handlers) -> None:
        kinds = dict.fromkeys(kind for each in handlers for kind in each)
        self._handlers = {kind: [each[kind] for each in handlers if kind in each] for kind in kinds}

    def record(self, fact: TelemetryFact) -> None:
        for handle in self._handlers.get(type(fact), ()):
            try:
                handle(fact)
            except Exception:  # noqa: BLE001 - a count is not worth a paid image
                _log.exception("fact not recorded", extra={"fact": type(fact).__name__})
