"""Logging: one JSON object a line on standard error, for events and libraries alike.

Event names are constants and data are fields. No prompt, key, link or provider body
ever is a field.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog

from service.ports.telemetry import (
    AdminActed,
    Crashed,
    ImageSpilled,
    StateFailed,
    Telemetry,
    TelemetryFact,
)

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def configure_logs(level: str) -> None:
    """Send everything through one JSON renderer; called once by the command line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Its lines repeat ours, less well; what it says about bad bytes is worth keeping.
    logging.getLogger("uvicorn.access").disabled = True
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=_dump),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


class LoggedTelemetry:
    """Implements `ports.telemetry.Telemetry`: passes facts on and writes down the surprising ones."""

    def __init__(self, inner: Telemetry) -> None:
        self._inner = inner
        self._log = structlog.get_logger()

    def record(self, fact: TelemetryFact) -> None:
        """Implement `Telemetry.record`."""
        self._inner.record(fact)
        match fact:
            case StateFailed():
                self._log.warning("state failed", operation=fact.operation, reason=fact.reason)
            case Crashed():
                self._log.error("crashed", where=fact.where, id=fact.id, traceback=_traceback(fact.error))
            case ImageSpilled(outcome="brought_home"):
                self._log.info("spilled image brought home", image=fact.name)
            case ImageSpilled():
                self._log.warning("image spilled", image=fact.name, outcome=fact.outcome)
            case AdminActed(entry=entry):
                self._log.info(
                    "audit", who=entry.who, act=entry.act, target=entry.target, details=entry.details
                )
            case _:
                pass


class _JsonFormatter(logging.Formatter):
    """Renders what libraries log like our own lines."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        fields.pop("color_message", None)
        timestamp = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        fields |= {
            "timestamp": timestamp,
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return _dump(fields)


def _dump(fields: Any, **_: Any) -> str:
    return orjson.dumps(fields, default=str).decode()


def _traceback(error: BaseException) -> str:
    formatter = logging.Formatter()
    return formatter.formatException((type(error), error, error.__traceback__))
