"""What is swept, in which order, and what is spared."""

import asyncio

import pytest

from service.domain.errors import StateUnavailable, StoreUnavailable
from service.gateway.images.disposal import PARTS, ROUND_S, Disposal, SweepTurn
from service.gateway.images.retention import Retention, Rules
from service.ports.processes import Round
from service.ports.references import Reference
from service.ports.store import UNUSED_S
from service.ports.telemetry import ClockCompared, FilesDeleted, ImageForgotten, StateFailed, StoreCounted
from tests.fakes.clock import FakeClock, a_clock_check
from tests.fakes.storage import FakeReferences, FakeShelves, FakeSweepLease
from tests.fakes.telemetry import FakeTelemetry
from tests.fakes.values import a_reference

HOUR_S = 3600


class Place:
    """A retention on fakes, at an instant that tests count back from."""

    def __init__(
        self,
        clock: FakeClock,
        *kept: Reference,
        longest_s: int = 0,
        most_bytes: int = 0,
        least_s: float = 0,
        turns: FakeSweepLease | None = None,
    ) -> None:
        self.clock = clock
        self.store = FakeShelves()
        self.turns = turns or FakeSweepLease()
        self.telemetry = FakeTelemetry()
        self.check = a_clock_check(clock, self.telemetry)
        self.rules = Rules(longest_s=longest_s, most_bytes=most_bytes, least_s=least_s)
        self.refer_to(FakeReferences(*kept))

    def refer_to(self, references: FakeReferences) -> None:
        self.references = references
        turn = SweepTurn(turns=self.turns, check=self.check, sweep_s=60)
        self.retention = Retention(
            known=references,
            references=references,
            inventory=references,
            disposal=self.disposal(references, turn),
            turn=turn,
            clock=self.clock,
            telemetry=self.telemetry,
            rules=self.rules,
        )

    def disposal(self, references: FakeReferences, turn: SweepTurn) -> Disposal:
        return Disposal(
            inventory=references,
            leftovers=references,
            listing=self.store,
            cleaner=self.store,
            turns=self.turns,
            turn=turn,
            clock=self.clock,
            telemetry=self.telemetry,
        )

    async def sweep(self) -> None:
        await self.retention.sweep()

    def reasons(self) -> list[str]:
        return [fact.reason for fact in self.telemetry.of(ImageForgotten)]


def name(number: int) -> str:
    return f"{number:064x}.png"


def a_kept_image(clock: FakeClock, number: int, *, age_s: float = 0, **override: object) -> Reference:
    return a_reference(name(number), created_s=int(clock.wall_s() - age_s), **override)


async def test_brief_images_are_kept_for_an_hour(clock: FakeClock) -> None:
    old = a_kept_image(clock, 1, age_s=HOUR_S + 1, is_brief=True)
    young = a_kept_image(clock, 2, age_s=HOUR_S - 1, is_brief=True)
    place = Place(clock, old, young)

    await place.sweep()

    assert place.references.names() == {young.name}
    assert place.reasons() == ["brief"]


async def test_images_are_kept_for_ever_by_default(clock: FakeClock) -> None:
    place = Place(clock, a_kept_image(clock, 1, age_s=10**8))

    await place.sweep()

    assert place.references.names() == {name(1)}


async def test_images_are_kept_for_their_time(clock: FakeClock) -> None:
    place = Place(clock, a_kept_image(clock, 1, age_s=101), a_kept_image(clock, 2, age_s=99), longest_s=100)

    await place.sweep()

    assert place.references.names() == {name(2)}
    assert place.reasons() == ["age"]


@pytest.mark.parametrize("jump_s", [100 * 24 * HOUR_S, 61, -61])
async def test_a_wrong_clock_deletes_nothing(clock: FakeClock, jump_s: int) -> None:
    old = a_kept_image(clock, 1, age_s=10**8)
    brief = a_kept_image(clock, 2, age_s=10**8, is_brief=True)
    place = Place(clock, old, brief, longest_s=100, most_bytes=1)
    place.turns.round = Round(0, PARTS)
    place.store.files = {name(3): 0.0}

    clock.jump(jump_s)
    await place.sweep()

    assert place.references.names() == {old.name, brief.name}
    assert set(place.store.files) == {name(3)}
    assert place.telemetry.of(ClockCompared)[-1] == ClockCompared(skew_s=jump_s, is_off=True)

    clock.jump(-jump_s)
    await place.sweep()
    assert place.references.names() == set()
    assert place.store.files == {}


class JumpingTurns(FakeSweepLease):
    """A turn during which the clock is set wrong."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock

    async def take(self, *, hold_s: float) -> bool:
        self.clock.jump(40)
        return True


async def test_a_clock_that_drifts_by_less_than_a_minute_is_right(clock: FakeClock) -> None:
    place = Place(clock, a_kept_image(clock, 1, age_s=10**8), longest_s=100)

    clock.jump(59)
    await place.sweep()

    assert place.references.names() == set()


async def test_a_sweep_ends_when_the_clock_jumps(clock: FakeClock) -> None:
    images = (a_kept_image(clock, number, age_s=10**6) for number in range(250))
    place = Place(clock, *images, longest_s=100, turns=JumpingTurns(clock))

    await place.sweep()

    assert len(place.references.names()) == 50


@pytest.mark.parametrize(("longest_s", "most_bytes"), [(100, 0), (0, 1)])
async def test_images_of_running_orders_stay(clock: FakeClock, longest_s: int, most_bytes: int) -> None:
    """It waits for its other images as long as its deadline allows."""
    old, young = a_kept_image(clock, 1, age_s=301), a_kept_image(clock, 2, age_s=299)
    place = Place(clock, old, young, longest_s=longest_s, most_bytes=most_bytes, least_s=300)

    await place.sweep()

    assert place.references.names() == {name(2)}


async def test_brief_images_of_running_orders_stay(clock: FakeClock) -> None:
    brief = [a_kept_image(clock, number, age_s=7000 + 500 * number, is_brief=True) for number in (0, 1)]
    place = Place(clock, *brief, least_s=2 * HOUR_S)

    await place.sweep()

    assert place.references.names() == {name(0)}


async def test_a_sweep_removes_several_batches_up_to_its_bound(clock: FakeClock) -> None:
    references = [a_kept_image(clock, number, age_s=10_000 - number) for number in range(1203)]
    place = Place(clock, *references, longest_s=100)

    await place.sweep()
    assert place.references.names() == {name(number) for number in range(1000, 1203)}

    await place.sweep()
    assert place.references.names() == set()


async def test_a_lost_turn_ends_the_sweep(clock: FakeClock) -> None:
    references = [a_kept_image(clock, number, age_s=10_000 - number) for number in range(250)]
    place = Place(clock, *references, longest_s=100, turns=FakeSweepLease(True, True, False, False))
    place.references.leftovers[name(9999)] = 0
    place.store.files[name(9999)] = 0

    await place.sweep()

    assert len(place.references.names()) == 50


async def test_the_oldest_images_of_all_teams_go_beyond_the_size_limit(clock: FakeClock) -> None:
    place = Place(
        clock,
        a_kept_image(clock, 1, age_s=50, team="a"),
        a_kept_image(clock, 2, age_s=40, team="b"),
        a_kept_image(clock, 3, age_s=30, team="a"),
        a_kept_image(clock, 4, age_s=20, team="b"),
        a_kept_image(clock, 5, age_s=10, team="b"),
        most_bytes=2500,
    )

    await place.sweep()

    assert place.references.names() == {name(4), name(5)}
    assert place.reasons() == ["bytes"] * 3


async def test_images_within_the_size_limit_stay(clock: FakeClock) -> None:
    place = Place(clock, a_kept_image(clock, 1), a_kept_image(clock, 2), most_bytes=2000)

    await place.sweep()

    assert place.references.names() == {name(1), name(2)}


async def test_expired_images_do_not_count_against_the_size_limit(clock: FakeClock) -> None:
    old, young = a_kept_image(clock, 1, age_s=200), a_kept_image(clock, 2, age_s=50)
    place = Place(clock, old, young, longest_s=100, most_bytes=1500)

    await place.sweep()

    assert place.references.names() == {young.name}


async def test_the_size_limit_may_remove_images_of_one_team_only(clock: FakeClock) -> None:
    references = [a_kept_image(clock, number, age_s=1000 - number, team="a") for number in range(3)]
    place = Place(clock, *references, a_kept_image(clock, 9, age_s=1, team="b"), most_bytes=100)

    await place.sweep()

    assert place.references.names() == set()


async def test_the_size_limit_removes_no_more_than_a_sweep_may(clock: FakeClock) -> None:
    references = [a_kept_image(clock, number, age_s=10_000 - number) for number in range(1100)]
    place = Place(clock, *references, most_bytes=10)

    await place.sweep()

    assert len(place.references.names()) == 100


async def test_the_size_limit_stops_with_the_turn(clock: FakeClock) -> None:
    references = [a_kept_image(clock, number, age_s=10_000 - number) for number in range(250)]
    place = Place(clock, *references, most_bytes=10, turns=FakeSweepLease(True, False, False, False))

    await place.sweep()

    assert len(place.references.names()) == 150


async def test_half_a_reference_does_not_block_others(clock: FakeClock) -> None:
    """Its age is known and nothing else: whatever lost the rest."""

    class Halved(FakeReferences):
        async def find(self, team: str, name_: str) -> Reference | None:
            return None if name_ == name(1) else await super().find(team, name_)

    place = Place(clock, most_bytes=1500)
    place.refer_to(
        Halved(
            a_kept_image(clock, 1, age_s=50),
            a_kept_image(clock, 2, age_s=40),
            a_kept_image(clock, 3, age_s=30),
        )
    )

    await place.sweep()

    assert place.references.names() == set()


async def test_bytes_go_once_no_team_refers_to_them_and_they_are_an_hour_old(clock: FakeClock) -> None:
    now_s = clock.wall_s()
    place = Place(clock, a_kept_image(clock, 2, team="other"))
    place.store.files = {
        name(1): now_s - UNUSED_S,
        name(2): now_s - UNUSED_S,
        name(3): now_s - UNUSED_S + 5,
    }
    place.references.leftovers = dict.fromkeys([name(1), name(2), name(3), name(4)], 0.0)

    await place.sweep()

    assert set(place.store.files) == {name(2), name(3)}
    assert place.references.leftovers == {name(3): now_s + 5}
    assert place.telemetry.of(FilesDeleted) == [FilesDeleted(files=1)]

    clock.advance(5)
    await place.sweep()
    assert set(place.store.files) == {name(2)}
    assert place.references.leftovers == {}


async def test_expired_images_lose_their_bytes(clock: FakeClock) -> None:
    place = Place(clock, a_kept_image(clock, 1, age_s=7300), longest_s=7200)
    place.store.files = {name(1): clock.wall_s() - 7300}

    await place.sweep()

    assert place.store.files == {}


async def test_bytes_that_are_put_again_meanwhile_stay(clock: FakeClock) -> None:
    """No team refers to them yet, but one is about to: writing made them young."""
    place = Place(clock)
    place.references.leftovers = {name(1): 0.0}
    place.store.files = {name(1): clock.wall_s() - 1}

    await place.sweep()
    assert set(place.store.files) == {name(1)}

    place.references.keep(a_kept_image(clock, 1))
    clock.advance(2 * UNUSED_S)
    await place.sweep()
    assert set(place.store.files) == {name(1)}
    assert place.references.leftovers == {}


async def test_clearing_leftovers_stops_with_the_turn(clock: FakeClock) -> None:
    place = Place(clock, turns=FakeSweepLease(True, False, False))
    place.references.leftovers = {name(number): 0.0 for number in range(150)}

    await place.sweep()

    assert len(place.references.leftovers) == 50


async def test_the_first_walk_through_the_store_starts_after_a_day(clock: FakeClock) -> None:
    """Who points a gateway at another Redis by mistake has a day to notice."""
    place = Place(clock)
    place.store.files = {name(1): 0.0}

    await place.sweep()
    clock.advance(ROUND_S - 1)
    await place.sweep()
    assert (set(place.store.files), place.store.listed) == ({name(1)}, [])

    clock.advance(1)
    await place.sweep()
    assert place.store.files == {}
    assert place.store.remains_before_s == [clock.wall_s() - UNUSED_S]


async def test_a_walk_deletes_old_unused_bytes_in_every_part(clock: FakeClock) -> None:
    now_s = clock.wall_s()
    lost = [f"{part:02x}{'0' * 62}.png" for part in range(0, 256, 5)]
    used, young = f"05{'1' * 62}.png", f"0a{'1' * 62}.png"
    place = Place(clock, a_reference(used))
    place.turns.round = Round(now_s - ROUND_S, PARTS)
    place.store.files = {**dict.fromkeys([*lost, used], 0.0), young: now_s - 10}

    await place.sweep()

    assert set(place.store.files) == {used, young}
    assert place.store.listed == list(range(PARTS))
    assert place.turns.round == Round(now_s, PARTS)


async def test_a_part_with_more_than_a_batch_is_cleared(clock: FakeClock) -> None:
    place = Place(clock)
    place.turns.round = Round(0, PARTS)
    place.store.files = {f"{number:064x}.png": 0.0 for number in range(250)}

    await place.sweep()

    assert place.store.files == {}
    assert len(place.telemetry.of(FilesDeleted)) == 250


async def test_an_interrupted_walk_continues(clock: FakeClock) -> None:
    place = Place(clock, turns=FakeSweepLease(True, True, True, False))
    place.turns.round = Round(0, PARTS)

    await place.sweep()
    assert place.store.listed == [0, 1, 2]

    await place.sweep()
    assert place.store.listed == list(range(PARTS))


async def test_a_walk_through_a_large_store_takes_several_sweeps(clock: FakeClock) -> None:
    place = Place(clock)
    place.turns.round = Round(0, PARTS)
    place.store.files = {f"00{number:062x}.png": clock.wall_s() for number in range(20_000)}

    await place.sweep()

    assert place.store.listed == [0]
    assert place.turns.round == Round(clock.wall_s(), 1)


async def test_one_process_removes_and_every_process_counts(clock: FakeClock) -> None:
    place = Place(clock, a_kept_image(clock, 1, age_s=9999, is_brief=True), turns=FakeSweepLease(False))

    await place.sweep()

    assert place.references.names() == {name(1)}
    assert place.telemetry.of(StoreCounted) == [StoreCounted(images=1, size_bytes=1000)]


async def test_a_reference_removed_meanwhile_is_not_counted(clock: FakeClock) -> None:
    class Raced(FakeReferences):
        async def forget(self, team: str, name_: str) -> bool:
            await super().forget(team, name_)
            return False

    place = Place(clock, longest_s=100)
    place.refer_to(Raced(a_kept_image(clock, 1, age_s=200)))

    await place.sweep()

    assert place.reasons() == []


@pytest.mark.parametrize("what", ["state", "store"])
async def test_the_next_sweep_retries_after_a_failure(clock: FakeClock, what: str) -> None:
    place = Place(clock, a_kept_image(clock, 1, age_s=9999, is_brief=True))
    place.turns.round = Round(0, PARTS)
    if what == "state":
        place.references.is_away = True
    else:
        place.store.is_away = True
    expected = StateFailed(operation="sweep", reason="timeout" if what == "state" else "store")
    with pytest.raises(StateUnavailable if what == "state" else StoreUnavailable):
        await place.sweep()

    async with asyncio.TaskGroup() as group:
        loop = group.create_task(place.retention.sweep_forever())
        await asyncio.sleep(30)
        assert place.telemetry.of(StateFailed) == [expected]
        place.references.is_away = place.store.is_away = False
        await asyncio.sleep(60)
        loop.cancel()

    assert place.references.names() == set()
    assert place.store.listed == list(range(PARTS))
