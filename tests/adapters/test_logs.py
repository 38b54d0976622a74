"""What telemetry writes down: the surprising, as fields."""

import subprocess
import sys

import orjson
from structlog.testing import capture_logs

from service.adapters.logs import LoggedTelemetry
from service.ports.telemetry import Crashed, ImageForgotten
from tests.fakes.telemetry import FakeTelemetry


def test_a_crash_is_written_down_in_full_with_where_it_was() -> None:
    inner = FakeTelemetry()
    fact = Crashed(where="request", id="req_1", error=ZeroDivisionError("what nobody is shown"))

    with capture_logs() as lines:
        LoggedTelemetry(inner).record(fact)

    [line] = lines
    assert (line["event"], line["where"], line["id"]) == ("crashed", "request", "req_1")
    assert "ZeroDivisionError: what nobody is shown" in line["traceback"]
    assert inner.facts == [fact]


def test_the_usual_is_counted_and_not_written_down() -> None:
    inner = FakeTelemetry()

    with capture_logs() as lines:
        LoggedTelemetry(inner).record(ImageForgotten(reason="age"))

    assert lines == []
    assert inner.facts == [ImageForgotten(reason="age")]


LIBRARY = """
import logging
from service.adapters.logs import configure_logs

configure_logs("INFO")
log = logging.getLogger("a.library")
log.warning("it is %s", "odd", extra={"child": "sandbox", "color_message": "odd"})
try:
    1 / 0
except ZeroDivisionError:
    log.exception("bad")
log.debug("too much")
"""


def test_what_libraries_log_has_the_fields_of_our_own_lines() -> None:
    told = subprocess.run([sys.executable, "-c", LIBRARY], capture_output=True, text=True, check=True)

    odd, bad = map(orjson.loads, told.stderr.splitlines())
    assert odd.pop("timestamp").endswith("Z")
    assert odd == {"event": "it is odd", "level": "warning", "logger": "a.library", "child": "sandbox"}
    assert (bad["event"], bad["level"]) == ("bad", "error")
    assert "ZeroDivisionError: division by zero" in bad["traceback"]
    assert "exc_info" not in bad
