import pytest

from service.domain.errors import BytesRefused, RefusedFor
from service.gateway.admission.held_bytes import ByteBudget
from service.ports.telemetry import BytesDeclined
from tests.fakes.telemetry import FakeTelemetry


def a_budget(telemetry: FakeTelemetry | None = None, spare_bytes: float = 1000) -> ByteBudget:
    return ByteBudget(
        "disk",
        most_bytes=100,
        share=0.4,
        small_bytes=5,
        telemetry=telemetry or FakeTelemetry(),
        spare_bytes=lambda: spare_bytes,
    )


@pytest.mark.parametrize(
    ("held", "more_bytes", "reason"),
    [
        ({}, 41, "body"),
        ({"ann": [30]}, 11, "caller"),
        ({"ann": [20, 20]}, 1, "caller"),
        ({"ben": [40], "cleo": [40]}, 21, "total"),
        ({"ben": [40], "cleo": [40], "dora": [20]}, 6, "total"),
        ({"ann": [40], "ben": [40], "cleo": [20]}, 1, "caller"),
        ({"ben": [10]}, 36, "disk"),
    ],
)
def test_a_body_is_refused_for_the_bound_it_would_exceed(
    held: dict[str, list[int]], more_bytes: int, reason: RefusedFor
) -> None:
    telemetry = FakeTelemetry()
    budget = a_budget(telemetry, spare_bytes=45 if reason == "disk" else 1000)
    for caller, bodies in held.items():
        for size_bytes in bodies:
            budget.room_for(caller).grow_to(size_bytes)
    before_bytes = budget.held_bytes

    with pytest.raises(BytesRefused) as refused:
        budget.room_for("ann").grow_to(more_bytes)

    assert refused.value.reason == reason
    assert telemetry.of(BytesDeclined) == [BytesDeclined(place="disk", reason=reason)]
    assert budget.held_bytes == before_bytes


def test_what_just_fits_is_taken() -> None:
    budget = a_budget()
    for caller in ("ann", "ben"):
        budget.room_for(caller).grow_to(40)

    budget.room_for("cleo").grow_to(20)

    assert budget.held_bytes == 100


def test_a_small_body_needs_nothing_of_what_all_have_together() -> None:
    budget = a_budget()
    for caller, size_bytes in (("ann", 40), ("ben", 40), ("cleo", 20)):
        budget.room_for(caller).grow_to(size_bytes)
    small = budget.room_for("dora")

    for size_bytes in (1, 5):
        small.grow_to(size_bytes)

    assert budget.held_bytes == 105
    with pytest.raises(BytesRefused):
        small.grow_to(6)
    small.leave()
    assert budget.held_bytes == 100


def test_a_room_grows_and_does_not_shrink_while_it_is_used() -> None:
    budget = a_budget()
    room = budget.room_for("ann")

    for size_bytes in (10, 30, 20):
        room.grow_to(size_bytes)

    assert budget.held_bytes == 30
    with pytest.raises(BytesRefused, match="larger than 40 bytes"):
        room.grow_to(41)
    assert budget.held_bytes == 30


def test_a_room_is_left_once() -> None:
    budget = a_budget()
    other = budget.room_for("ann")
    other.grow_to(5)

    with budget.room_for("ann") as room:
        room.grow_to(35)
    room.leave()

    assert budget.held_bytes == 5
    other.leave()
    with budget.room_for("ann") as room:
        room.grow_to(40)


def test_memory_has_no_disk_that_bounds_it() -> None:
    budget = ByteBudget("memory", most_bytes=100, share=1, telemetry=FakeTelemetry())

    budget.room_for("ann").grow_to(100)

    assert budget.held_bytes == 100
