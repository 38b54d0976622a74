"""What telemetry writes down: the surprising, as fields."""

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
