import logging

import pytest

from service.adapters.telemetry.recorder import FactRecorder
from service.ports.telemetry import CallQueued, TelemetryFact


def test_a_handler_that_raises_stops_neither_the_others_nor_the_order(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fact = CallQueued(waited_s=1.0)
    taken: list[TelemetryFact] = []

    def fail(_: TelemetryFact) -> None:
        raise KeyError("secret")

    FactRecorder({CallQueued: fail}, {CallQueued: taken.append}).record(fact)

    assert taken == [fact]
    assert [(line.levelno, line.message) for line in caplog.records] == [(logging.ERROR, "fact not recorded")]
