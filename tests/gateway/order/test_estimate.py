"""Estimates of orders, on a scripted shared state."""

from dataclasses import replace

import pytest

from service.domain.callers import Policy
from service.domain.errors import LimitState, StateUnavailable
from service.domain.images import Operation
from service.domain.limits import LIMITS, LimitKind
from service.domain.order import Price
from service.gateway.admission.allowance import Allowance, find_refusal
from service.gateway.order.estimate import Estimates
from tests.fakes.clock import FakeClock
from tests.fakes.values import a_caller, a_grant, a_limit_state, an_order
from tests.gateway.assembly import Assembly


def estimates_of(house: Assembly) -> Estimates:
    return Estimates(acceptance=house.orders.acceptance, allowance=Allowance(house.state))


async def test_an_estimate_asks_for_no_image_and_settles_nothing(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.script.append(a_grant(limits=(a_limit_state(remaining=3),)))
        made = await estimates_of(house).make(an_order(n=2, prompt=""), 0)

    [ask] = house.book.asks
    assert (ask.n, ask.round, ask.ticket.idempotency) == (0, 1, None)
    assert (house.book.settlements, house.backend.calls) == ([], [])
    assert (made.sent_model, made.weight, made.refusal) == ("gpt-image-2.6-flare", 2, None)
    assert made.microusd is not None
    assert made.microusd % 2 == 0


async def test_an_estimate_without_redis_is_none(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.is_gone = True
        with pytest.raises(StateUnavailable):
            await estimates_of(house).make(an_order(caller=a_caller(Policy(images_per_min=5))), 0)


async def test_stand_ins_are_images_that_the_model_takes(clock: FakeClock) -> None:
    edit = an_order(asked_model="dall-e-2", operation=Operation.EDIT)
    async with Assembly(clock) as house:
        estimates = estimates_of(house)
        none = await estimates.make(replace(edit, operation=Operation.GENERATE), 0)
        some = [await estimates.make(edit, inputs) for inputs in (1, 2)]

    # An image without transparency is not its own mask, which would be sent, too.
    assert none.microusd is not None
    assert [each.microusd for each in some] == [none.microusd + inputs * 6240 * 8 for inputs in (1, 2)]


def limit(resource: str, remaining: int, *, of: int = 10, reset_s: float = 30.0) -> LimitState:
    return a_limit_state(resource=resource, limit=of, remaining=remaining, reset_s=reset_s)


@pytest.mark.parametrize(
    ("state", "n", "wait_s"),
    [
        (limit("requests", 1), 5, 0.0),
        (limit("requests", 0, reset_s=58.0), 5, 4.0),
        (limit("images", 4), 2, 0.0),
        (limit("images", 3, reset_s=42.0), 2, 6.0),
        (limit("images_per_day", 3, reset_s=900.0), 2, 900.0),
        (limit("images_in_flight", 2, reset_s=0.0), 2, 0.0),
        (limit("images_in_flight", 1, reset_s=0.0), 2, 1.0),
        (limit("budget_per_month", 200, of=1000), 2, 0.0),
        (limit("budget_per_month", 199, of=1000), 2, 30.0),
    ],
)
def test_a_limit_without_room_refuses(state: LimitState, n: int, wait_s: float) -> None:
    """Images weigh two here, and are priced at 100."""
    refusal = find_refusal((state,), n, Price(2, 100))

    assert (refusal.retry_after_s if refusal else 0.0) == pytest.approx(wait_s)


@pytest.mark.parametrize("kind", LIMITS, ids=lambda kind: kind.resource)
def test_every_kind_of_limit_without_room_refuses(kind: LimitKind) -> None:
    assert find_refusal((limit(kind.resource, 0, reset_s=60.0),), 1, Price(1, 100)) is not None


def test_an_image_without_a_price_needs_some_room() -> None:
    assert find_refusal((limit("budget_per_month", 1),), 2, Price(1, None)) is None
    assert find_refusal((limit("budget_per_month", 0),), 2, Price(1, None)) is not None


def test_the_refusal_that_lasts_longest_counts() -> None:
    states = (limit("images", 0), limit("images_per_day", 0, reset_s=900.0), limit("requests", 0))

    refusal = find_refusal(states, 1, Price())

    assert refusal is not None
    assert (refusal.refused, refusal.limits) == (states[1], states)
