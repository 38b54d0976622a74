"""The ownership of images: links belong to the team, all else to the owner."""

import dataclasses

import pytest

from service.domain.callers import Caller, Role
from service.domain.errors import ImageMissing, ImageNotKept, StateUnavailable
from service.gateway.admission.breaker import Breaker
from service.gateway.images.ownership import Ownership
from service.ports.audit import AuditEntry
from service.ports.telemetry import ImageForgotten, StateFailed
from tests.fakes.clock import FakeClock
from tests.fakes.storage import FakeAudit, FakeJournal, FakeReferences
from tests.fakes.telemetry import FakeTelemetry
from tests.fakes.values import a_caller, a_reference, a_settlement, an_image

REFERENCE = a_reference(team="shop", user="ann")
OWNER = a_caller(team="shop", user="ann")
COLLEAGUE = a_caller(team="shop", user="ben")
STRANGER = a_caller(team="other", user="ann")
ADMIN = a_caller(team="admin", user="root", role=Role.ADMIN, key_id="key_1")


class Place:
    """The use cases on fakes, with one image of `shop`."""

    def __init__(self, journal: FakeJournal | None = None) -> None:
        self.references = FakeReferences(REFERENCE)
        self.audit, self.telemetry, self.clock = FakeAudit(), FakeTelemetry(), FakeClock()
        self.ownership = Ownership(
            references=self.references,
            unsettled=journal or FakeJournal(),
            audit=self.audit,
            clock=self.clock,
            telemetry=self.telemetry,
            circuit=Breaker(self.clock),
        )

    @property
    def is_kept(self) -> bool:
        return REFERENCE.name in self.references.names()


@pytest.fixture
def place() -> Place:
    return Place()


async def test_a_link_is_good_as_long_as_its_team_keeps_the_image(place: Place) -> None:
    await place.ownership.check_link("shop", REFERENCE.name)

    with pytest.raises(ImageNotKept):
        await place.ownership.check_link("other", REFERENCE.name)
    await place.references.forget("shop", REFERENCE.name)
    with pytest.raises(ImageNotKept):
        await place.ownership.check_link("shop", REFERENCE.name)


async def test_a_link_is_good_while_redis_is_away(place: Place) -> None:
    place.references.is_away = True

    await place.ownership.check_link("shop", REFERENCE.name)

    assert place.telemetry.of(StateFailed) == [StateFailed(operation="link", reason="timeout")]


async def test_links_ask_an_absent_redis_once_a_second_only(place: Place) -> None:
    place.references.is_away = True
    for _ in range(20):
        await place.ownership.check_link("shop", REFERENCE.name)
        place.clock.advance(0.01)
    assert len(place.telemetry.of(StateFailed)) == 3

    place.clock.advance(1.0)
    for _ in range(20):
        await place.ownership.check_link("shop", REFERENCE.name)
    assert len(place.telemetry.of(StateFailed)) == 4


async def test_links_of_a_redis_that_is_back_are_checked_again(place: Place) -> None:
    place.references.is_away = True
    for _ in range(5):
        await place.ownership.check_link("other", REFERENCE.name)
        place.clock.advance(0.01)
    place.references.is_away = False
    await place.ownership.check_link("other", REFERENCE.name)
    place.clock.advance(1.0)

    for _ in range(2):
        with pytest.raises(ImageNotKept):
            await place.ownership.check_link("other", REFERENCE.name)


async def test_trouble_with_one_teams_keys_keeps_the_links_of_others_checked(place: Place) -> None:
    place.references.is_away, place.references.away_reason = True, "wrongtype"
    for _ in range(5):
        await place.ownership.check_link("other", REFERENCE.name)
        place.clock.advance(0.01)
    place.references.is_away = False

    with pytest.raises(ImageNotKept):
        await place.ownership.check_link("other", REFERENCE.name)


async def test_a_link_is_good_while_its_settlement_is_in_the_journal() -> None:
    image = an_image("cd" * 32)
    place = Place(FakeJournal(a_settlement(team="shop", made=((None, image),))))

    await place.ownership.check_link("shop", image.name)

    for team, name in (("other", image.name), ("shop", f"{'ef' * 32}.png")):
        with pytest.raises(ImageNotKept):
            await place.ownership.check_link(team, name)


async def test_a_link_is_good_however_full_the_journal_is() -> None:
    image = an_image("cd" * 32)
    backlog = [a_settlement(team="shop", part=str(number)) for number in range(500)]
    place = Place(FakeJournal(*backlog, a_settlement(team="shop", part="new", made=((None, image),))))

    await place.ownership.check_link("shop", image.name)


async def test_a_link_is_good_while_its_image_moves_from_the_journal_to_redis(place: Place) -> None:
    """It was not in the one yet, and is not in the other any more."""
    image = a_reference(team="shop", name=f"{'cd' * 32}.png")

    class Settling(FakeJournal):
        async def has_image(self, team: str, name: str) -> bool:
            place.references.keep(image)
            return False

    ownership = dataclasses.replace(place.ownership, unsettled=Settling())

    await ownership.check_link("shop", image.name)


async def test_lost_bytes_take_the_reference_with_them(place: Place) -> None:
    await place.ownership.note_lost("shop", REFERENCE.name)
    await place.ownership.note_lost("shop", REFERENCE.name)

    assert not place.is_kept
    assert place.telemetry.of(ImageForgotten) == [ImageForgotten(reason="lost")]


async def test_lost_bytes_are_noted_later_while_redis_is_away(place: Place) -> None:
    place.references.is_away = True

    await place.ownership.note_lost("shop", REFERENCE.name)

    assert place.is_kept


@pytest.mark.parametrize(
    ("caller", "team"), [(OWNER, None), (OWNER, "shop"), (ADMIN, "shop")], ids=["owner", "by name", "admin"]
)
async def test_owner_and_admins_find_an_image(place: Place, caller: Caller, team: str | None) -> None:
    assert await place.ownership.find(caller, REFERENCE.name, team=team) == REFERENCE


@pytest.mark.parametrize(
    ("caller", "team"),
    [(COLLEAGUE, None), (STRANGER, None), (STRANGER, "shop"), (ADMIN, None), (ADMIN, "other")],
)
async def test_an_image_is_missing_for_all_other_callers(
    place: Place, caller: Caller, team: str | None
) -> None:
    with pytest.raises(ImageMissing):
        await place.ownership.find(caller, REFERENCE.name, team=team)
    with pytest.raises(ImageMissing):
        await place.ownership.delete(caller, REFERENCE.name, team=team)

    assert place.is_kept
    assert place.audit.entries == []


async def test_an_owner_deletes_an_image(place: Place) -> None:
    await place.ownership.delete(OWNER, REFERENCE.name)

    assert not place.is_kept
    assert place.telemetry.of(ImageForgotten) == [ImageForgotten(reason="owner")]
    assert place.audit.entries == []
    with pytest.raises(ImageMissing):
        await place.ownership.delete(OWNER, REFERENCE.name)


@pytest.mark.parametrize(("key_id", "who"), [("key_1", "key_1"), (None, "bootstrap")])
async def test_a_deletion_by_an_admin_is_in_the_audit(place: Place, key_id: str | None, who: str) -> None:
    admin = a_caller(team="admin", user="root", role=Role.ADMIN, key_id=key_id)

    await place.ownership.delete(admin, REFERENCE.name, team="shop")

    assert not place.is_kept
    assert place.telemetry.of(ImageForgotten) == [ImageForgotten(reason="admin")]
    assert place.audit.entries == [
        AuditEntry(
            at_s=int(place.clock.wall_s()),
            who=who,
            act="delete_image",
            target=REFERENCE.name,
            details="team=shop",
        )
    ]


async def test_an_image_deleted_meanwhile_is_not_counted(place: Place) -> None:
    class Raced(FakeReferences):
        async def forget(self, team: str, name: str) -> bool:
            return False

    ownership = Ownership(
        references=Raced(REFERENCE),
        unsettled=FakeJournal(),
        audit=place.audit,
        clock=place.clock,
        telemetry=place.telemetry,
        circuit=Breaker(place.clock),
    )

    await ownership.delete(OWNER, REFERENCE.name)

    assert place.telemetry.of(ImageForgotten) == []


async def test_nothing_is_deleted_while_redis_is_away(place: Place) -> None:
    place.references.is_away = True

    with pytest.raises(StateUnavailable):
        await place.ownership.delete(OWNER, REFERENCE.name)
