"""Counting and purging by every mark an image has."""

from collections import Counter
from typing import Any

import pytest

from service.domain.errors import Conflict, InvalidOrder
from service.gateway.images.purge import Purged, Purging, Selection, TeamStats
from service.ports.telemetry import ImageForgotten
from tests.fakes.clock import FakeClock, a_clock_check
from tests.fakes.storage import FakeAudit, FakeReferences
from tests.fakes.telemetry import FakeTelemetry
from tests.fakes.values import a_reference

NOW_S = int(FakeClock().wall_s())


def name(number: int) -> str:
    return f"{number:064x}.png"


REFERENCES = (
    a_reference(name(1), team="shop", user="ann", created_s=NOW_S - 100),
    a_reference(name(2), team="shop", user="ben", asked_model="dall-e-2", created_s=NOW_S - 50),
    a_reference(
        name(3), team="lab", user="ann", sent_model="gpt-image-9", fingerprint="e" * 32, created_s=NOW_S
    ),
)


def purging_of(
    references: FakeReferences, audit: FakeAudit, telemetry: FakeTelemetry, clock: FakeClock
) -> Purging:
    return Purging(
        known=references,
        listing=references,
        references=references,
        audit=audit,
        clock=clock,
        check=a_clock_check(clock, telemetry),
        telemetry=telemetry,
    )


class Place:
    """The use cases on fakes."""

    def __init__(self) -> None:
        self.references = FakeReferences(*REFERENCES)
        self.audit, self.telemetry = FakeAudit(), FakeTelemetry()
        self.clock = FakeClock()
        self.purging = purging_of(self.references, self.audit, self.telemetry, self.clock)

    def left(self) -> set[int]:
        return {int(each[:64], 16) for each in self.references.names()}


@pytest.fixture
def place() -> Place:
    return Place()


MARKS: list[tuple[dict[str, Any], set[int]]] = [
    ({"team": "shop"}, {1, 2}),
    ({"user": "ann"}, {1, 3}),
    ({"team": "shop", "user": "ann"}, {1}),
    ({"model": "dall-e-2"}, {2}),
    ({"model": "gpt-image-9"}, {3}),
    ({"fingerprint": "e" * 32}, {3}),
    ({"older_than_s": 50}, {1, 2}),
    ({"older_than_s": 51}, {1}),
    ({"older_than_s": 0}, {1, 2, 3}),
    ({"team": "nobody"}, set()),
]


@pytest.mark.parametrize(("marks", "taken"), MARKS)
async def test_purges_images_that_match_every_criterion(
    place: Place, marks: dict[str, Any], taken: set[int]
) -> None:
    told: list[int] = []

    purged = await place.purging.purge(
        "ann", Selection(**marks), tell=lambda so_far: told.append(so_far.images)
    )

    assert place.left() == {1, 2, 3} - taken
    assert purged == Purged(images=len(taken), size_bytes=1000 * len(taken))
    assert told == list(range(1, len(taken) + 1))
    assert place.telemetry.of(ImageForgotten) == [ImageForgotten(reason="purge")] * len(taken)
    (entry,) = place.audit.entries
    assert (entry.who, entry.act, entry.at_s) == ("ann", "purge_cache", NOW_S)
    assert all(f"{mark}={value}" in entry.details for mark, value in marks.items())


@pytest.mark.parametrize(("marks", "taken"), MARKS)
async def test_a_dry_run_counts_and_removes_nothing(
    place: Place, marks: dict[str, Any], taken: set[int]
) -> None:
    found = await place.purging.select(Selection(**marks))

    assert found == Purged(images=len(taken), size_bytes=1000 * len(taken))
    assert place.left() == {1, 2, 3}
    assert place.audit.entries == []


async def test_a_purge_needs_a_criterion(place: Place) -> None:
    with pytest.raises(InvalidOrder):
        await place.purging.purge("ann", Selection())

    assert place.left() == {1, 2, 3}
    assert place.audit.entries == []


async def test_a_wrong_clock_purges_nothing_by_age(place: Place) -> None:
    place.clock.jump(100 * 86_400)

    with pytest.raises(Conflict, match="8640000 s"):
        await place.purging.purge("ann", Selection(older_than_s=86_400))
    assert (place.left(), place.audit.entries) == ({1, 2, 3}, [])

    await place.purging.purge("ann", Selection(team="lab"))
    await place.purging.purge("ann", Selection(older_than_s=0))
    assert place.left() == set()


async def test_a_bounded_purge_reports_that_more_images_match(place: Place) -> None:
    first = await place.purging.purge("ann", Selection(older_than_s=0), most=2)
    second = await place.purging.purge("ann", Selection(older_than_s=0), most=2)

    assert (first.images, first.is_complete) == (2, False)
    assert (second.images, second.is_complete) == (1, True)


async def test_images_removed_meanwhile_are_not_counted(place: Place) -> None:
    class Raced(FakeReferences):
        async def forget(self, team: str, name_: str) -> bool:
            return False

    purging = purging_of(Raced(*REFERENCES), place.audit, place.telemetry, place.clock)

    assert await purging.purge("ann", Selection(team="shop")) == Purged()


async def test_every_team_is_counted(place: Place) -> None:
    place.references.published = {name(1): 2, name(3): 1}

    stats = await place.purging.stats()

    assert stats == [
        TeamStats(
            team="lab",
            images=1,
            size_bytes=1000,
            variants=1,
            oldest_s=NOW_S,
            models=Counter({"gpt-image-9": 1}),
        ),
        TeamStats(
            team="shop",
            images=2,
            size_bytes=2000,
            variants=2,
            oldest_s=NOW_S - 100,
            models=Counter({"gpt-image-2.6-flare": 2}),
        ),
    ]
    assert await place.purging.stats("lab") == stats[:1]


async def test_a_team_without_images_has_none(place: Place) -> None:
    assert await place.purging.stats("new") == [TeamStats(team="new")]


async def test_more_than_a_page_is_counted(place: Place) -> None:
    place.references.keep(*(a_reference(name(100 + number), team="big") for number in range(600)))
    place.references.published = {name(100 + number): 1 for number in range(600)}

    (stats,) = await place.purging.stats("big")

    assert (stats.images, stats.variants) == (600, 600)
