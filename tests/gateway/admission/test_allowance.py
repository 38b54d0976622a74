import pytest

from service.domain.callers import Policy
from service.domain.errors import StateUnavailable
from service.gateway.admission.allowance import Allowance
from tests.fakes.clock import FakeClock
from tests.fakes.values import a_caller, a_grant, a_limit_state
from tests.gateway.assembly import Assembly


async def test_limits_are_read_by_an_ask_that_is_not_charged(clock: FakeClock) -> None:
    limits = (a_limit_state(remaining=3),)
    house = Assembly(clock)
    house.book.script.append(a_grant(limits=limits))

    assert await Allowance(house.state).read(a_caller(Policy(images_per_min=5))) == limits

    [ask] = house.book.asks
    assert (ask.n, ask.round, ask.cache.only_if_cached) == (0, 1, True)
    assert [limit.amount for limit in ask.ticket.limits] == [5]
    assert house.book.settlements == house.journal.kept == []


async def test_without_redis_limits_are_unknown(clock: FakeClock) -> None:
    house = Assembly(clock)
    house.book.is_gone = True

    with pytest.raises(StateUnavailable):
        await Allowance(house.state).read(a_caller(Policy(images_per_min=5)))
