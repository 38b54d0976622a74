import logging

import pytest

from service.adapters.telemetry.recorder import FactRecorder
from service.ports.telemetry import ImagesDelivered, TelemetryFact


def test_a_handler_that_raises_stops_neither_the_others_nor_the_order(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fact = ImagesDelivered(asked_model="dall-e-3", sources={})
    taken: list[TelemetryFact] = []

    def fail(_: TelemetryFact) -> None:
        raise KeyError("secret")

    FactRecorder({ImagesDelivered: fail}, {ImagesDelivered: taken.append}).record(fact)

    assert taken == [fact]
    assert [(line.levelno, line.message) for line in caplog.records] == [(logging.ERROR, "fact not recorded")]
