"""Facts that an operator should see are logged, with their data as fields."""

import subprocess
import sys
from collections.abc import MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from service.adapters.redis.client.troubleshooting import explain
from service.adapters.telemetry.logs import FactLog
from service.adapters.telemetry.recorder import FactRecorder
from service.domain.backends import KeyName
from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.rests import Rest, RestName, RestReason
from service.ports.audit import AuditEntry
from service.ports.telemetry import (
    AdminActed,
    CallCrossed,
    ClockCompared,
    Crashed,
    ImageForgotten,
    ImageSpilled,
    KeyBack,
    KeyRested,
    StateBack,
    StateFailed,
    TelemetryFact,
)
from tests.adapters.telemetry.test_health import attempt, checked
from tests.documents import quoted_in, read, rows_behind
from tests.fakes.clock import FakeClock


def test_a_crash_is_logged_in_full_with_its_place() -> None:
    fact = Crashed(where="request", id="req_1", error=ZeroDivisionError("what nobody is shown"))

    [line] = lines_of(fact)

    assert (line["event"], line["where"], line["id"]) == ("crashed", "request", "req_1")
    assert "ZeroDivisionError: what nobody is shown" in line["traceback"]


def test_the_usual_is_counted_and_not_written_down() -> None:
    assert lines_of(ImageForgotten(reason="age"), attempt()) == []


REFUSED_KEY = CallFailure(
    kind=FailureKind.MISCONFIGURED,
    billing=Billing.NOT_BILLED,
    message="what callers read",
    status=401,
    code="invalid_api_key",
    cause="Incorrect API key provided.",
    advice="OPENAI_API_KEY was refused (401).",
)
KEY = KeyName("openai", "main")


def rest(reason: RestReason, *, model: str = "gpt-image-2", left_s: float = 30.0) -> Rest:
    return Rest(name=RestName(KEY, model), reason=reason, left_s=left_s)


RESTED = KeyRested(rest=rest(RestReason.REFUSED), failure=REFUSED_KEY)
BACK = KeyBack(rest=rest(RestReason.REFUSED, left_s=0.0))
URL = "redis://gateway:a-password@valkey:6379/0"
STATE_AWAY = StateFailed(operation="begin", reason="timeout")
CLOCK_OFF = ClockCompared(skew_s=-61.0, is_off=True)


def lines_of(*facts: TelemetryFact | float) -> list[MutableMapping[str, Any]]:
    """Return the lines logged for *facts*; a number lets that many seconds pass."""
    clock = FakeClock()
    with capture_logs() as lines:
        telemetry = FactRecorder(
            FactLog(now_s=clock.monotonic_s, explain_state=lambda reason: explain(reason, URL)).handlers
        )
        for fact in facts:
            if isinstance(fact, float):
                clock.advance(fact)
            else:
                telemetry.record(fact)
    return lines


def test_the_page_has_each_line_of_a_fact_with_its_level_and_its_fields() -> None:
    act = AuditEntry(at_s=1, who="bootstrap", act="create_key", target="shop/key_1")
    lines = lines_of(
        *(attempt(REFUSED_KEY), attempt(REFUSED_KEY), 60.0, attempt(REFUSED_KEY)),
        checked(),
        *(RESTED, RESTED, 60.0, RESTED, BACK),
        CallCrossed(left=KEY, to=KeyName("azure", "spare")),
        *(STATE_AWAY, STATE_AWAY, 60.0, STATE_AWAY, StateBack()),
        *(CLOCK_OFF, CLOCK_OFF, 60.0, CLOCK_OFF),
        ImageSpilled(name="a.png", outcome="kept"),
        ImageSpilled(name="a.png", outcome="brought_home"),
        AdminActed(entry=act),
        Crashed(where="loop", id="sweep", error=ValueError()),
    )
    # The last of each, as the first left no line out.
    written = {line["event"]: (line["log_level"], line.keys() - {"event", "log_level"}) for line in lines}

    documented = {
        event.strip("`"): (level, set(quoted_in(fields)))
        for event, level, fields, _ in rows_behind("\n## Other lines\n", read("docs/logs.md"))
    }
    assert written == documented


@pytest.mark.parametrize("fact", [attempt(REFUSED_KEY), checked(REFUSED_KEY)])
def test_a_failure_of_the_provider_is_a_warning_with_its_cause_and_its_advice(fact: TelemetryFact) -> None:
    [line] = lines_of(fact)

    assert line == {
        "event": "provider failed",
        "log_level": "warning",
        "backend": "openai",
        "key": "main",
        "kind": "misconfigured",
        "status": 401,
        "code": "invalid_api_key",
        "cause": "Incorrect API key provided.",
        "advice": "OPENAI_API_KEY was refused (401).",
    }


def test_of_each_kind_a_minute_has_one_line_and_the_next_counts_the_others() -> None:
    refused, other = attempt(REFUSED_KEY), attempt(replace(REFUSED_KEY, status=404))

    lines = lines_of(refused, *[refused] * 12, other, 59.9, refused, 0.1, refused, 60.0, refused)

    assert [(line["status"], line.get("suppressed")) for line in lines] == [
        (401, None),
        (404, None),
        (401, 13),
        (401, None),
    ]


def test_each_key_has_lines_of_its_own() -> None:
    lines = lines_of(attempt(REFUSED_KEY), replace(attempt(REFUSED_KEY), key="spare"))

    assert [line["key"] for line in lines] == ["main", "spare"]


def test_a_rest_of_a_key_is_a_warning_with_its_length_and_its_cause() -> None:
    [line] = lines_of(KeyRested(rest=rest(RestReason.REFUSED, model=""), failure=REFUSED_KEY))

    assert line == {
        "event": "backend key rests",
        "log_level": "warning",
        "backend": "openai",
        "key": "main",
        "reason": "refused",
        "for_s": 30.0,
        "kind": "misconfigured",
        "status": 401,
        "code": "invalid_api_key",
        "cause": "Incorrect API key provided.",
    }


def test_a_key_at_its_limit_has_one_line_a_minute() -> None:
    limited = replace(REFUSED_KEY, kind=FailureKind.RATE_LIMITED, status=429)
    pause = KeyRested(rest=rest(RestReason.THROTTLED, left_s=1.04), failure=limited)

    lines = lines_of(*(pause, 1.0) * 59, 1.0, pause)

    assert [(line["for_s"], line.get("suppressed")) for line in lines] == [(1.0, None), (1.0, 58)]


def test_the_end_of_a_rest_is_logged_if_the_rest_was() -> None:
    lines = lines_of(BACK, *(RESTED, BACK, 1.0) * 3)

    assert [line["event"] for line in lines] == ["backend key rests", "backend key works again"]
    assert (lines[1]["log_level"], lines[1]["model"], lines[1]["reason"]) == (
        "info",
        "gpt-image-2",
        "refused",
    )


def test_a_call_that_crosses_is_told_on_request_only() -> None:
    [line] = lines_of(CallCrossed(left=KEY, to=KeyName("azure", "spare")))

    assert line == {
        "event": "call crossed",
        "log_level": "debug",
        "backend": "openai",
        "key": "main",
        "to": "azure/spare",
    }


def test_an_outage_of_redis_has_one_line_a_minute_for_each_operation_and_reason() -> None:
    other = StateFailed(operation="beat", reason="timeout")

    lines = lines_of(*[STATE_AWAY] * 3, other, 59.9, STATE_AWAY, 0.1, STATE_AWAY)

    assert [(line["operation"], line.get("suppressed")) for line in lines] == [
        ("begin", None),
        ("beat", None),
        ("begin", 3),
    ]


def test_a_wrong_clock_has_one_line_a_minute_with_advice() -> None:
    right, wrong = (ClockCompared(skew_s=skew_s, is_off=skew_s > 60) for skew_s in (59.0, 8_640_000.4))

    lines = lines_of(right, wrong, wrong, 60.0, wrong, right)

    assert [(line["event"], line["skew_s"], line.get("suppressed")) for line in lines] == [
        ("clock off", 8_640_000, None),
        ("clock off", 8_640_000, 1),
    ]
    assert "8640000 s ahead of that of Redis" in lines[0]["advice"]
    assert "NTP" in lines[0]["advice"]


@pytest.mark.parametrize("kind", ["refused", "invalid", "not_sent", "not_kept"])
def test_other_failures_are_not_logged_as_the_providers(kind: str) -> None:
    assert lines_of(attempt(replace(REFUSED_KEY, kind=FailureKind(kind)))) == []


def test_a_message_for_callers_is_not_written_down() -> None:
    """It may be the provider's own, with the prompt in it."""
    [line] = lines_of(attempt(replace(REFUSED_KEY, message="canary", cause="")))

    assert "canary" not in str(line)


def test_an_invalid_code_is_not_logged() -> None:
    [line] = lines_of(attempt(replace(REFUSED_KEY, code="sk-proj-1 is no code")))

    assert line["code"] == "other"


def test_a_successful_check_is_logged_and_a_successful_call_is_not() -> None:
    [line] = lines_of(checked(), attempt())

    assert (line["event"], line["log_level"], line["took_key"]) == ("provider answers", "info", True)


LIBRARY = """
import logging
from service.adapters.telemetry.logs import configure_logs

configure_logs("INFO")
log = logging.getLogger("a.library")
log.warning("it is %s", "odd", extra={"child": "sandbox", "color_message": "odd"})
try:
    1 / 0
except ZeroDivisionError:
    log.exception("bad")
log.debug("too much")
"""


FULL = """
import structlog
from service.adapters.telemetry.logs import FactLog, configure_logs
from service.ports.telemetry import StateFailed

configure_logs("INFO")
fact = StateFailed(operation="begin", reason="misconf")
FactLog().handlers[StateFailed](fact)
print("goes on")
"""


def test_a_line_that_the_disk_does_not_take_is_lost_and_nothing_else() -> None:
    with Path("/dev/full").open("wb") as full:
        told = subprocess.run([sys.executable, "-c", FULL], stdout=subprocess.PIPE, stderr=full, check=False)

    assert told.stdout == b"goes on\n"


def test_lines_of_libraries_have_the_gateways_fields() -> None:
    told = subprocess.run([sys.executable, "-c", LIBRARY], capture_output=True, text=True, check=True)

    odd, bad = map(orjson.loads, told.stderr.splitlines())
    assert odd.pop("timestamp").endswith("Z")
    assert odd == {"event": "it is odd", "level": "warning", "logger": "a.library", "child": "sandbox"}
    assert (bad["event"], bad["level"]) == ("bad", "error")
    assert "ZeroDivisionError: division by zero" in bad["traceback"]
    assert "exc_info" not in bad


def test_a_failure_of_redis_has_its_place_and_advice_and_no_password() -> None:
    failed, of_the_store = lines_of(STATE_AWAY, StateFailed(operation="sweep", reason="store"))

    assert failed["redis"] == "valkey:6379"
    assert "valkey:6379 does not answer in time" in failed["advice"]
    assert "a-password" not in str(failed)
    assert of_the_store.keys() == {"event", "log_level", "operation", "reason"}
