import pytest
from aiolimiter import AsyncLimiter

from service.gateway.queue.estimate import wait_for_pace_s, wait_for_slot_s
from tests.fakes.clock import FakeClock


@pytest.mark.parametrize(
    ("ages_s", "free", "ahead", "wait_s"),
    [
        ([], 2, 1, 0.0),
        ([1.0, 3.0], 0, 0, 1.0),
        ([1.0, 3.0], 0, 1, 3.0),
        ([1.0, 3.0], 0, 2, 5.0),
        ([1.0, 3.0], 0, 5, 11.0),
        ([9.0], 0, 0, 0.0),
        ([1.0], 1, 1, 3.0),
        ([1.0], 1, 2, 4.0),
    ],
)
def test_a_call_waits_for_those_in_flight_and_ahead(
    ages_s: list[float], free: int, ahead: int, wait_s: float
) -> None:
    assert wait_for_slot_s(ages_s, free=free, ahead=ahead, call_s=4.0) == wait_s


async def test_a_call_waits_for_the_pace(clock: FakeClock) -> None:
    pace = AsyncLimiter(60, 60)

    assert wait_for_pace_s(None, 1000) == 0.0
    assert wait_for_pace_s(pace, 60) == 0.0
    assert wait_for_pace_s(pace, 61) == 1.0
    await pace.acquire(50)
    assert wait_for_pace_s(pace, 15) == 5.0
    await pace.acquire(10)
    assert wait_for_pace_s(pace, 1) == 1.0
