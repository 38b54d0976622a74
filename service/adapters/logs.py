"""Logging: a line an event on standard error, ours and libraries' alike: for people on a terminal, else as JSON.

Event names are constants and data are fields. No prompt, key, link or provider body
ever is a field.
"""

import logging
import sys
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from service.ports.telemetry import (
    AdminActed,
    Crashed,
    ImageSpilled,
    StateFailed,
    Telemetry,
    TelemetryFact,
)


def configure_logs(level: str) -> None:
    """Send everything through one chain of processors; called once by the command line."""
    chain = _for_people() if sys.stderr.isatty() else _for_machines()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _name_as_ours, *chain],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Its lines repeat ours, less well; what it says about bad bytes is worth keeping.
    logging.getLogger("uvicorn.access").disabled = True
    structlog.configure(
        processors=chain,
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


def _for_machines() -> list[Processor]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.JSONRenderer(serializer=_dump),
    ]


def _for_people() -> list[Processor]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        _show_traceback,
        structlog.dev.ConsoleRenderer(),
    ]


def _name_as_ours(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Turn what libraries add to a line into the fields of our own."""
    event.pop("color_message", None)
    exc_info = event.pop("exc_info", None)
    if exc_info and exc_info[1]:
        event["traceback"] = _traceback(exc_info[1])
    return event


def _show_traceback(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Have a traceback written below its line, where a field would be one long string."""
    if "traceback" in event:
        event["exception"] = event.pop("traceback")
    return event


def _dump(fields: Any, **_: Any) -> str:
    return orjson.dumps(fields, default=str).decode()


def _traceback(error: BaseException) -> str:
    formatter = logging.Formatter()
    return formatter.formatException((type(error), error, error.__traceback__))
