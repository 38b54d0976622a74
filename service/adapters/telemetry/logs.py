"""Log one line per event on standard error, for the gateway and its libraries: text on a terminal, else JSON.

Event names are constants, data are fields. A prompt, key, link or provider's body is never a field.
"""

import contextlib
import logging
import math
import sys
import time
from collections.abc import Callable, Hashable, Mapping
from typing import IO, Any

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from service.adapters.telemetry.recorder import Handlers
from service.domain.conditions import advise_on_clock
from service.domain.failures import CallFailure, FailureKind, loggable_code
from service.domain.rests import Rest, RestName
from service.ports.telemetry import (
    AdminActed,
    AttemptMade,
    CallCrossed,
    ClockCompared,
    Crashed,
    ImageSpilled,
    KeyBack,
    KeyRested,
    ProviderChecked,
    StateBack,
    StateFailed,
)

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
"""From the most lines to the fewest."""
_PAUSE_S = 60.0
_NOT_THE_PROVIDERS = (FailureKind.NOT_SENT, FailureKind.SHED, FailureKind.NOT_KEPT)


def configure_logs(level: str) -> None:
    """Send all logs through one chain of processors; called once by the command line."""
    is_terminal = sys.stderr.isatty()
    stream: Any = _LossyStream(sys.stderr)
    chain = _for_people() if is_terminal else _for_machines(_dump_text)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _name_as_ours, *chain],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # The gateway's own lines say more; uvicorn's other loggers stay.
    logging.getLogger("uvicorn.access").disabled = True
    # A malformed form is in the line of its request; the parser's has no request id, and quotes bytes of the body.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    # For machines in bytes: not decoded and encoded again, and one write for each line.
    own_chain = chain if is_terminal else _for_machines(_dump)
    file: Any = _LossyStream(sys.stderr.buffer)
    structlog.configure(
        processors=[_drop_below_level, *own_chain],
        # It filters nothing: loggers are kept, and the level may change.
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=structlog.PrintLoggerFactory(stream)
        if is_terminal
        else structlog.BytesLoggerFactory(file),
        cache_logger_on_first_use=True,
    )


def set_log_level(level: str) -> None:
    """Log lines of *level* and above from now on."""
    logging.getLogger().setLevel(level)


_LOST = contextlib.suppress(OSError)


class _LossyStream:
    """Write lines to *stream*, and lose those that its full disk does not take: no order and no loop may end for one."""

    def __init__(self, stream: IO[Any]) -> None:
        self._stream = stream

    def write(self, line: str | bytes) -> None:
        with _LOST:
            self._stream.write(line)

    def flush(self) -> None:
        with _LOST:
            self._stream.flush()


class FactLog:
    """Logs facts that an operator should see; *explain_state* returns place and advice for a reason of the shared state."""

    def __init__(
        self,
        *,
        now_s: Callable[[], float] = time.monotonic,
        explain_state: Callable[[str], Mapping[str, str]] = lambda _: {},
    ) -> None:
        self._repeats = _Repeats(now_s)
        self._told_rests: set[RestName] = set()
        self._explain_state = explain_state
        self._log = structlog.get_logger()

    @property
    def handlers(self) -> Handlers:
        """The functions that log facts, by their kind; other kinds are only counted."""
        return {
            StateFailed: self._log_state,
            StateBack: lambda _: self._log.warning("state works again"),
            ClockCompared: self._log_clock,
            AttemptMade: self._log_attempt,
            ProviderChecked: self._log_check,
            KeyRested: self._log_rest,
            KeyBack: self._log_back,
            CallCrossed: self._log_crossing,
            Crashed: self._log_crash,
            ImageSpilled: self._log_spilled,
            AdminActed: self._log_act,
        }

    def _log_state(self, fact: StateFailed) -> None:
        """Log a failure of the shared state, once a minute for each operation and reason."""
        suppressed = self._repeats.count((fact.operation, fact.reason))
        if suppressed is not None:
            fields = {
                **self._explain_state(fact.reason),
                **({"suppressed": suppressed} if suppressed else {}),
            }
            self._log.warning("state failed", operation=fact.operation, reason=fact.reason, **fields)

    def _log_clock(self, fact: ClockCompared) -> None:
        """Log a wrong clock once a minute."""
        suppressed = self._repeats.count("clock") if fact.is_off else None
        if suppressed is not None:
            fields = {"suppressed": suppressed} if suppressed else {}
            self._log.warning(
                "clock off", skew_s=round(fact.skew_s), advice=advise_on_clock(fact.skew_s), **fields
            )

    def _log_attempt(self, fact: AttemptMade) -> None:
        if fact.failure is not None:
            self._warn_of(fact, fact.failure)

    def _log_check(self, fact: ProviderChecked) -> None:
        if fact.failure is not None:
            self._warn_of(fact, fact.failure)
        else:
            self._log.info("provider answers", backend=fact.backend, key=fact.key, took_key=fact.is_sure)

    def _log_rest(self, fact: KeyRested) -> None:
        """Log a rest, once a minute for each key, model and reason: one at its limit rests again and again."""
        name, failure = fact.rest.name, fact.failure
        suppressed = self._repeats.count((name, fact.rest.reason))
        if suppressed is None:
            return
        self._told_rests.add(name)
        details = {
            "status": failure.status,
            "code": loggable_code(failure.code),
            "cause": failure.cause,
            "suppressed": suppressed,
        }
        self._log.warning(
            "backend key rests",
            **_describe(fact.rest),
            for_s=round(fact.rest.left_s, 1),
            kind=failure.kind.value,
            **{field: value for field, value in details.items() if value},
        )

    def _log_back(self, fact: KeyBack) -> None:
        """Log the end of a rest that was logged."""
        if fact.rest.name in self._told_rests:
            self._told_rests.discard(fact.rest.name)
            self._log.info("backend key works again", **_describe(fact.rest))

    def _log_crossing(self, fact: CallCrossed) -> None:
        left = fact.left
        self._log.debug("call crossed", backend=left.backend, key=left.key, to=str(fact.to))

    def _log_crash(self, fact: Crashed) -> None:
        self._log.error("crashed", where=fact.where, id=fact.id, traceback=_traceback(fact.error))

    def _log_spilled(self, fact: ImageSpilled) -> None:
        if fact.outcome == "brought_home":
            self._log.info("spilled image brought home", image=fact.name)
        else:
            self._log.warning("image spilled", image=fact.name, outcome=fact.outcome)

    def _log_act(self, fact: AdminActed) -> None:
        entry = fact.entry
        self._log.info("audit", who=entry.who, act=entry.act, target=entry.target, details=entry.details)

    def _warn_of(self, fact: AttemptMade | ProviderChecked, failure: CallFailure) -> None:
        """Log a failure of a backend that is not the caller's, once a minute for each key, kind and status."""
        if failure.is_callers_own or failure.kind in _NOT_THE_PROVIDERS:
            return
        suppressed = self._repeats.count((fact.backend, fact.key, failure.kind, failure.status))
        if suppressed is None:
            return
        details = {
            "status": failure.status,
            "code": loggable_code(failure.code),
            "cause": failure.cause,
            "advice": failure.advice,
            "suppressed": suppressed,
        }
        self._log.warning(
            "provider failed",
            backend=fact.backend,
            key=fact.key,
            kind=failure.kind.value,
            **{name: value for name, value in details.items() if value},
        )


def _describe(rest: Rest) -> dict[str, str]:
    """Return the fields that name a rest; one for all models has no `model`."""
    name = rest.name
    fields = {
        "backend": name.key.backend,
        "key": name.key.key,
        "model": name.model,
        "reason": rest.reason.value,
    }
    return {field: value for field, value in fields.items() if value}


class _Repeats:
    """Passes one line of each kind in a minute, and counts the others."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._logged: dict[Hashable, tuple[float, int]] = {}

    def count(self, kind: Hashable) -> int | None:
        """Return the number of lines suppressed since the last of *kind*, or None to suppress this one."""
        now_s = self._now_s()
        logged_s, suppressed = self._logged.get(kind, (-math.inf, 0))
        if now_s - logged_s < _PAUSE_S:
            self._logged[kind] = (logged_s, suppressed + 1)
            return None
        self._logged[kind] = (now_s, 0)
        return suppressed


def _drop_below_level(_: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Drop the gateway's own lines below the level of the root logger, which libraries obey by themselves."""
    if structlog.processors.NAME_TO_LEVEL[method] < logging.getLogger().level:
        raise structlog.DropEvent
    return event


def _for_machines(dump: Callable[..., str | bytes]) -> list[Processor]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.JSONRenderer(serializer=dump),
    ]


def _for_people() -> list[Processor]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        _show_traceback,
        structlog.dev.ConsoleRenderer(sort_keys=False),
    ]


def _name_as_ours(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Turn the fields that libraries add to a line into the gateway's."""
    event.pop("color_message", None)
    exc_info = event.pop("exc_info", None)
    if exc_info and exc_info[1]:
        event["traceback"] = _traceback(exc_info[1])
    return event


def _show_traceback(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Write a traceback below its line: as a field it would be one long string."""
    if "traceback" in event:
        event["exception"] = event.pop("traceback")
    return event


def _dump(fields: Any, **_: Any) -> bytes:
    return orjson.dumps(fields, default=str)


def _dump_text(fields: Any, **_: Any) -> str:
    return _dump(fields).decode()


def _traceback(error: BaseException) -> str:
    formatter = logging.Formatter()
    return formatter.formatException((type(error), error, error.__traceback__))
