"""The modes of the fault proxy in JSON."""

import pytest

from service.sandbox.faults.modes import Delay, Drip, DropReply, Mode, PassThrough, Truncate, read_mode


@pytest.mark.parametrize(
    ("fields", "mode"),
    [
        ({"mode": "pass_through"}, PassThrough()),
        ({"mode": "drip", "bytes_per_s": 100}, Drip(bytes_per_s=100)),
        ({"mode": "delay", "down_s": 0.5}, Delay(down_s=0.5)),
        ({"mode": "drop_reply", "nth": 3}, DropReply(nth=3)),
        ({"mode": "truncate", "after_bytes": 10}, Truncate(after_bytes=10)),
    ],
)
def test_modes_are_read_from_json(fields: dict[str, object], mode: Mode) -> None:
    assert read_mode(fields) == mode


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"mode": "explode"},
        {"mode": ["drip"]},
        {"mode": "drip"},
        {"mode": "drip", "bytes_per_s": "fast"},
        {"mode": "drip", "bytes_per_s": 0},
        {"mode": "drop_reply", "nth": 0},
        {"mode": "delay", "up_s": -1},
        {"mode": "truncate", "after_bytes": -1},
        {"mode": "pass_through", "up_s": 1},
    ],
)
def test_modes_that_make_no_sense_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - pydantic's texts are its own
        read_mode(fields)
