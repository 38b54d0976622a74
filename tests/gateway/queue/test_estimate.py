import pytest
from aiolimiter import AsyncLimiter

from service.gateway.queue.estimate import wait_for_paces_s, wait_for_slot_s
from tests.fakes.clock import FakeClock
from tests.fakes.routing import a_key


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
    key = a_key(pace=pace)

    assert wait_for_paces_s([a_key()], 1000) == 0.0
    assert wait_for_paces_s([key, a_key()], 1000) == 0.0
    assert wait_for_paces_s([key], 60) == 0.0
    assert wait_for_paces_s([key], 61) == 1.0
    await pace.acquire(50)
    assert wait_for_paces_s([key], 15) == pytest.approx(5.0, abs=1e-3)
    await pace.acquire(10)
    assert wait_for_paces_s([key], 1) == pytest.approx(1.0, abs=1e-3)


async def test_paces_of_several_keys_add_up(clock: FakeClock) -> None:
    keys = [a_key(pace=AsyncLimiter(60, 60)), a_key(pace=AsyncLimiter(120, 60))]

    assert wait_for_paces_s(keys, 180) == 0.0
    assert wait_for_paces_s(keys, 186) == pytest.approx(2.0, abs=1e-3)
