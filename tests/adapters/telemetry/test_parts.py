"""Parts are watched: since when they are in their condition, and for how long they were away."""

import pytest

from service.adapters.telemetry.parts import PAUSE_S, PartsWatch
from service.domain.conditions import Condition
from service.ports.telemetry import LoopLagged, PartAway
from tests.fakes.clock import FakeClock
from tests.fakes.telemetry import FakeTelemetry


class Site:
    """Parts whose conditions a test sets, and their watch."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.telemetry = FakeTelemetry()
        names = ("state", "store", "journal", "provider", "queue")
        self.parts = {name: Condition(word="ok") for name in names}
        self.watch = PartsWatch(
            {name: lambda name=name: self.parts[name] for name in names},  # type: ignore[misc]  # bound per name
            clock=self.clock,
            telemetry=self.telemetry,
        )

    def find(self, part: str, word: str, *, after_s: float = 0.0, advice: str = "") -> Condition:
        self.clock.advance(after_s)
        self.parts[part] = Condition(word=word, advice=advice)
        return self.watch.look()[part]


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_condition_begins_when_it_is_first_found(site: Site) -> None:
    began_s = site.clock.wall_s()

    words = [
        site.find("store", "ok", after_s=5),
        site.find("store", "failing", after_s=5, advice="Make room."),
        site.find("store", "failing", after_s=5, advice="Create the bucket."),
        site.find("store", "ok", after_s=5),
    ]

    assert [each.since_s for each in words] == [began_s, began_s + 10, began_s + 10, began_s + 20]
    assert [each.advice for each in words] == ["", "Make room.", "Create the bucket.", ""]


def test_a_part_that_knows_its_beginning_keeps_it(site: Site) -> None:
    site.parts["provider"] = Condition(word="refused", since_s=12.0)

    assert site.watch.look()["provider"].since_s == 12.0


@pytest.mark.parametrize(
    ("name", "word", "part"),
    [
        ("state", "degraded", "redis"),
        ("store", "failing", "store"),
        ("journal", "failing", "journal"),
        ("provider", "refused", "provider"),
        ("provider", "unreachable", "provider"),
        ("provider", "failing", "provider"),
        ("provider", "silent", "provider"),
    ],
)
def test_the_time_of_a_part_that_does_not_work_is_reported(
    site: Site, name: str, word: str, part: str
) -> None:
    site.find(name, word)
    site.watch.note(0.5)
    site.watch.note(0.75)
    site.find(name, "ok")
    site.watch.note(0.5)

    assert [(fact.part, fact.away_s) for fact in site.telemetry.of(PartAway)] == [(part, 0.5), (part, 0.75)]


@pytest.mark.parametrize(
    ("name", "word"),
    [("journal", "low"), ("provider", "unknown"), ("queue", "waiting"), ("queue", "full")],
)
def test_a_part_that_works_is_not_away(site: Site, name: str, word: str) -> None:
    site.find(name, word)
    site.watch.note(0.5)

    assert not site.telemetry.of(PartAway)


def test_a_late_turn_is_the_lag_of_the_loop(site: Site) -> None:
    for passed_s in (PAUSE_S, PAUSE_S + 0.25, PAUSE_S - 0.01):
        site.watch.note(passed_s)

    assert [fact.lag_s for fact in site.telemetry.of(LoopLagged)] == [0.0, 0.25, 0.0]
