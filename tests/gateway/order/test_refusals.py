"""Refusals that are remembered, and prompts that are judged before anything is spent."""

import asyncio
from collections.abc import Callable

import pytest

from service.domain.errors import GatewayError, OrderFailed, RateLimited
from service.domain.failures import CallFailure, FailureKind
from service.domain.images import Delivery, Source
from service.domain.order import CacheControl
from service.domain.progress import CallFailed, ImageReady, OrderFact
from service.gateway.order.refusals import MOST, REMEMBER_S, RefusedOrders
from tests.fakes.backend import Held
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.values import (
    a_caller,
    a_failure,
    a_grant,
    a_rate_limit,
    a_refusal,
    a_variant,
    an_order,
)
from tests.gateway.assembly import Assembly, read
from tests.gateway.facts import error

OTHER_KINDS = [kind for kind in FailureKind if kind is not FailureKind.REFUSED]


class FakeModerator:
    """Implements `ports.provider.Moderator`: refuses what contains `forbidden`."""

    def __init__(self) -> None:
        self.judged: list[str] = []
        self.deadlines_s: list[float] = []

    async def judge(self, prompt: str, *, deadline_s: float) -> CallFailure | None:
        self.judged.append(prompt)
        self.deadlines_s.append(deadline_s)
        return a_refusal(code="moderation_blocked") if "forbidden" in prompt else None


def refused_with(facts: list[OrderFact]) -> list[str | None]:
    failed = error(facts)
    assert isinstance(failed, OrderFailed)
    return [failure.code for failure in failed.failures]


def test_a_refusal_is_found_again_in_its_pool_only() -> None:
    refusals, refusal = RefusedOrders(FakeClock()), a_refusal()
    refusals.note("one", refusal)

    assert refusals.find("one") == refusal
    assert refusals.find("another") is None


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_other_failures_are_not_remembered(kind: FailureKind) -> None:
    refusals = RefusedOrders(FakeClock())
    refusals.note("pool", a_failure(kind=kind))

    assert refusals.find("pool") is None


def test_refusals_are_forgotten_after_a_while() -> None:
    clock = FakeClock()
    refusals = RefusedOrders(clock)
    refusals.note("pool", a_refusal())

    clock.advance(REMEMBER_S - 1)
    assert refusals.find("pool") is not None
    clock.advance(2)
    assert refusals.find("pool") is None


def test_the_memory_is_bounded() -> None:
    refusals = RefusedOrders(FakeClock())
    for number in range(MOST + 10):
        refusals.note(str(number), a_refusal())

    assert sum(refusals.find(str(number)) is not None for number in range(MOST + 10)) == MOST
    assert refusals.find(str(MOST + 9)) is not None


async def test_a_storm_of_refused_orders_makes_one_call(clock: FakeClock) -> None:
    async with Assembly(clock, a_refusal(code="moderation_blocked")) as house:
        told = [await house.run(an_order(id=f"order-{i}")) for i in range(5)]

    assert [refused_with(facts) for facts in told] == [["content_policy_violation"]] * 5
    assert house.backend.attempts == 1
    assert sum(settlement.refunded for settlement in house.book.settlements) == 5


async def test_a_refusal_hides_nothing_that_is_in_the_cache(clock: FakeClock) -> None:
    async with Assembly(clock, a_refusal()) as house:
        await house.run(an_order(cache=CacheControl(reuse=False)))
        house.book.script.append(a_grant(ready=(a_variant(0),)))
        facts = await house.run(an_order(id="order-2", delivery=Delivery.URL))

    assert error(facts) is None


async def test_no_cache_ignores_remembered_refusals(clock: FakeClock) -> None:
    async with Assembly(clock, a_refusal()) as house:
        await house.run(an_order())
        facts = await house.run(an_order(id="order-2", cache=CacheControl(reuse=False)))

    assert error(facts) is None
    assert house.backend.attempts == 2


async def test_after_a_while_a_refused_order_is_tried_again(clock: FakeClock) -> None:
    async with Assembly(clock, a_refusal()) as house:
        await house.run(an_order(deadline_s=9999.0))
        await asyncio.sleep(REMEMBER_S + 1)
        facts = await house.run(an_order(id="order-2", deadline_s=9999.0))

    assert error(facts) is None
    assert house.backend.attempts == 2


async def test_refusals_of_one_team_do_not_affect_another(clock: FakeClock) -> None:
    async with Assembly(clock, a_refusal()) as house:
        await house.run(an_order())
        facts = await house.run(an_order(caller=a_caller(team="other")))

    assert error(facts) is None


async def test_orders_outside_the_pool_are_not_remembered(clock: FakeClock) -> None:
    unkept = CacheControl(reuse=False, keep=False)
    async with Assembly(clock, a_refusal(), a_refusal()) as house:
        for i in range(2):
            await house.run(an_order(id=f"order-{i}", cache=unkept))

    assert house.backend.attempts == 2


async def test_images_made_beside_a_refusal_are_delivered(clock: FakeClock) -> None:
    """As the answer promises: one image was refused, the others are in the pool."""
    ready = a_variant(0)
    async with Assembly(clock, a_refusal()) as house:
        await house.run(an_order(n=3))
        house.book.script.append(a_grant(ready=(ready,)))
        facts = await house.run(an_order(id="order-2", n=1, delivery=Delivery.URL))

    assert error(facts) is None
    assert [fact.source for fact in facts if isinstance(fact, ImageReady)] == [Source.HIT]


async def test_a_judged_prompt_costs_nothing_when_it_is_refused(clock: FakeClock) -> None:
    moderator = FakeModerator()
    async with Assembly(clock, moderator=moderator) as house:
        facts = await house.run(an_order(prompt="a forbidden lighthouse", n=2))

    assert refused_with(facts) == ["content_policy_violation"]
    assert house.backend.attempts == 0
    assert not any(isinstance(fact, ImageReady) for fact in facts)
    assert [fact.failure.kind for fact in facts if isinstance(fact, CallFailed)] == [FailureKind.REFUSED] * 2
    assert sum(settlement.refunded for settlement in house.book.settlements) == 2
    assert moderator.judged == ["a forbidden lighthouse"]
    assert moderator.deadlines_s == [1120.0]


async def test_a_refusal_of_the_judge_is_remembered(clock: FakeClock) -> None:
    moderator = FakeModerator()
    async with Assembly(clock, moderator=moderator) as house:
        told = [
            await house.run(an_order(id=f"order-{i}", asked_model="gpt-image-2", prompt="forbidden"))
            for i in range(3)
        ]

    assert [refused_with(facts) for facts in told] == [["moderation_blocked"]] * 3
    assert len(moderator.judged) == 1


async def test_a_prompt_that_passes_is_judged_once_an_order(clock: FakeClock) -> None:
    moderator = FakeModerator()
    async with Assembly(clock, moderator=moderator) as house:
        facts = await house.run(an_order(n=3))

    assert error(facts) is None
    assert moderator.judged == ["A lighthouse"]


async def test_hits_are_not_judged(clock: FakeClock) -> None:
    moderator, ready = FakeModerator(), a_variant(0)
    async with Assembly(clock, moderator=moderator) as house:
        house.book.script.append(a_grant(ready=(ready,)))
        facts = await house.run(an_order(delivery=Delivery.URL))

    assert error(facts) is None
    assert moderator.judged == []


class Judge:
    """Implements `ports.provider.Moderator`: never comes to an end, or to a bad one."""

    def __init__(self, *, hangs: bool) -> None:
        self._hangs = hangs

    async def judge(self, prompt: str, *, deadline_s: float) -> CallFailure | None:
        if self._hangs:
            await asyncio.Event().wait()
        raise ZeroDivisionError


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_judge_that_fails_leaves_no_claim_behind(clock: FakeClock, hangs: bool) -> None:
    async with Assembly(clock, moderator=Judge(hangs=hangs), drain_s=1.0) as house:
        running = house.start(an_order())
        await until_idle()
    facts = await read(running)

    assert error(facts) is not None
    settled = house.book.settlements + house.journal.kept
    assert [settlement.released for settlement in settled] == [(0,)]


async def test_inputs_may_go_once_the_order_is_over_however_it_ends(clock: FakeClock) -> None:
    done: list[str] = []

    def when_done(name: str) -> Callable[[], None]:
        return lambda: done.append(name)

    async with Assembly(clock, a_refusal(), ZeroDivisionError()) as house:
        for name in ("refused", "bug", "made"):
            running, _, _ = house.orders.start(an_order(id=name, prompt=name), when_done(name))
            assert done.count(name) == 0
            await read(running)
            assert done.count(name) == 1
        house.book.script.append(a_rate_limit())
        running, _, _ = house.orders.start(an_order(prompt="limited"), when_done("limited"))
        assert isinstance(error(await read(running)), RateLimited)
        running, _, _ = house.orders.start(an_order(prompt="refused"), when_done("remembered"))
        await read(running)

    assert done == ["refused", "bug", "made", "limited", "remembered"]


async def test_inputs_stay_while_an_abandoned_order_is_being_made(clock: FakeClock) -> None:
    held, done = Held(), [0]

    def when_done() -> None:
        done[0] += 1

    async with Assembly(clock, held) as house:
        running, _, _ = house.orders.start(an_order(), when_done)
        await held.arrived.wait()
        running.abandon()
        await until_idle()
        assert done == [0]
        held.release()

    assert done == [1]


async def test_inputs_may_go_when_the_drain_cuts_an_order_off(clock: FakeClock) -> None:
    done = [0]

    def when_done() -> None:
        done[0] += 1

    async with Assembly(clock, Held(), drain_s=1.0) as house:
        house.orders.start(an_order(), when_done)
        await until_idle()

    assert done == [1]


async def test_an_order_that_never_starts_leaves_its_inputs_to_the_caller(clock: FakeClock) -> None:
    done = [0]

    def when_done() -> None:
        done[0] += 1

    async with Assembly(clock) as house:
        with pytest.raises(GatewayError):
            house.orders.start(an_order(prompt=""), when_done)

    assert done == [0]


async def test_a_caller_that_leaves_during_moderation_pays_nothing(clock: FakeClock) -> None:
    class Leaving(FakeModerator):
        async def judge(self, prompt: str, *, deadline_s: float) -> CallFailure | None:
            running.abandon()
            return await super().judge(prompt, deadline_s=deadline_s)

    async with Assembly(clock, moderator=Leaving()) as house:
        running = house.start(an_order(n=2))
        await until_idle()

    assert house.backend.attempts == 0
    assert sum(settlement.refunded for settlement in house.book.settlements) == 2
