"""The record of an order: its stages, the price of its images, and the fact at its end."""

import asyncio

import pytest

from service.domain.callers import Policy
from service.domain.errors import GatewayError, PermissionDenied, StateUnavailable
from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.images import Delivery, Source
from service.domain.order import CacheControl
from service.domain.progress import CallTimes
from service.gateway.order.runner import RunningOrder
from service.gateway.order.waiting import WaitResult
from service.ports.admission import Conclusion, Grant
from service.ports.telemetry import Crashed, OrderEnded
from tests.fakes.backend import Held, Outcome
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.values import (
    a_call_made,
    a_caller,
    a_failure,
    a_grant,
    a_rate_limit,
    a_refusal,
    a_variant,
    an_image,
    an_order,
)
from tests.gateway.assembly import Assembly, read
from tests.gateway.facts import keep, pool_of

UNKNOWN = a_failure(kind=FailureKind.BROKEN, billing=Billing.UNKNOWN)
UNREACHABLE = a_failure(kind=FailureKind.UNREACHABLE, billing=Billing.NOT_BILLED)


def ended(house: Assembly) -> OrderEnded:
    """Return the fact of the only order."""
    [fact] = house.telemetry.of(OrderEnded)
    return fact


def pause(held: Held, duration_s: float) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(duration_s, held.release)


async def test_the_stages_of_a_call_follow_each_other_and_fill_the_time_of_the_order(
    clock: FakeClock,
) -> None:
    first, held = Held(), Held()
    async with Assembly(clock, first, held, max_calls=1) as house:
        house.start(an_order(id="before", asked_model="gpt-image-2"))
        await first.arrived.wait()
        house.book.delay_s, house.store.delay_s = 0.25, 2.0
        running = house.start(an_order(asked_model="gpt-image-2", prompt="another"))
        pause(first, 4.25)
        asyncio.get_running_loop().call_later(4.25 + 2.0, pause, held, 8.0)
        await read(running)

    record = house.telemetry.of(OrderEnded)[-1].record
    spent = {stage: round(seconds, 2) for stage, seconds in record.stages_s.items()}
    # The call before has its turn until its image is stored.
    assert spent == {"begin": 0.25, "queue": 4.0, "upstream": 10.0, "store": 2.0}
    assert record.total_s == pytest.approx(sum(record.stages_s.values()), abs=0.01)


async def test_of_calls_side_by_side_the_one_that_ends_last_counts(clock: FakeClock) -> None:
    quick, slow = Held(), Held()
    async with Assembly(clock, quick, slow) as house:
        running = house.start(an_order(n=2))
        await slow.arrived.wait()
        pause(slow, 9.0)
        pause(quick, 3.0)
        await read(running)

    record = ended(house).record
    assert (record.calls, record.attempts, record.last_call.queue_s) == (2, 2, 0.0)
    assert record.last_call.upstream_s == pytest.approx(9.0)
    assert record.total_s == pytest.approx(9.0)


async def test_attempts_and_the_pauses_between_them_are_upstream(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, UNREACHABLE, held) as house:
        running = house.start(an_order())
        await held.arrived.wait()
        pause(held, 5.0)
        await read(running)

    record = ended(house).record
    assert (record.calls, record.attempts) == (1, 2)
    assert record.last_call.upstream_s >= 5.0
    assert record.last_call.upstream_s == pytest.approx(record.total_s)


async def test_reading_a_cached_image_is_in_the_store(clock: FakeClock) -> None:
    ready = a_variant(0)
    async with Assembly(clock) as house:
        keep(house, ready)
        house.store.delay_s = 3.0
        house.book.script.append(a_grant(ready=(ready,)))
        await house.run(an_order())

    record = ended(house).record
    assert record.read_s == pytest.approx(3.0)
    assert (record.calls, record.last_call) == (0, CallTimes())
    assert record.shown_s is not None
    assert record.shown_s - record.started_s == pytest.approx(3.0)


class TickingClock(FakeClock):
    """A clock on which each look takes a millisecond."""

    def monotonic_s(self) -> float:
        self.advance(0.001)
        return super().monotonic_s()


@pytest.mark.parametrize("delivery", Delivery)
async def test_a_link_to_a_cached_image_reads_nothing(delivery: Delivery) -> None:
    ready = a_variant(0)
    async with Assembly(TickingClock()) as house:
        keep(house, ready)
        house.book.script.append(a_grant(ready=(ready,)))
        await house.run(an_order(delivery=delivery))

    assert (ended(house).record.read_s > 0.0) == (delivery is not Delivery.URL)


async def test_an_image_made_has_its_cost_and_others_save_theirs_or_the_estimate(clock: FakeClock) -> None:
    priced, unpriced = a_variant(0, image=an_image("d0", cost_microusd=41)), a_variant(1)
    async with Assembly(clock) as house:
        keep(house, priced, unpriced)
        house.book.script.append(a_grant(ready=(priced, unpriced), mine=(2,), awaited=(3,)))
        running = house.start(an_order(n=4))
        await until_idle()
        shared = an_image("shared", cost_microusd=43)
        house.room.resolve(pool_of(house), 3, WaitResult(image=shared, data=b"shared"))
        await read(running)

    [settlement] = house.book.settlements
    [(_, made)] = settlement.made
    estimate = house.book.asks[0].ticket.price.microusd
    assert estimate is not None
    assert set(ended(house).record.prices) == {
        (Source.HIT, 41),
        (Source.HIT, estimate),
        (Source.COALESCED, 43),
        (Source.MADE, made.cost_microusd),
    }
    assert ended(house).record.cost_microusd == made.cost_microusd


async def test_an_image_that_is_lost_is_paid_for(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.store.hides_it = house.store.is_full = True
        await house.run(an_order(delivery=Delivery.URL))

    record = ended(house).record
    assert (record.sources, record.failed, len(record.prices)) == ([], 1, 1)
    assert record.cost_microusd > 0


@pytest.mark.parametrize(
    ("answer", "order", "expected"),
    [
        (a_call_made(b"a"), {}, ("delivered", "", "miss")),
        (a_call_made(b"a"), {"cache": CacheControl(keep=False)}, ("delivered", "", "none")),
        (a_refusal(code="moderation_blocked"), {}, ("failed", "refused", "none")),
        (
            a_failure(kind=FailureKind.OVERLOADED, code="the provider's own"),
            {},
            ("failed", "upstream_overloaded", "none"),
        ),
        (a_call_made(b"bug"), {}, ("failed", "internal", "none")),
    ],
    ids=["made", "uncached", "refused", "overloaded", "bug"],
)
async def test_an_order_that_called_ends_as_its_call(
    clock: FakeClock, answer: Outcome, order: dict[str, object], expected: tuple[str, str, str]
) -> None:
    async with Assembly(clock, *[answer] * 4) as house:
        await house.run(an_order(**order))

    fact = ended(house)
    assert (fact.outcome, fact.code, fact.cache) == expected
    assert bool(house.telemetry.of(Crashed)) == (fact.code == "internal")


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (a_rate_limit(), "rate_limit_exceeded"),
        (PermissionDenied("Closed."), "insufficient_permissions"),
        (a_grant(), "state_unavailable"),
        (StateUnavailable("wrongtype"), ""),
        (a_grant(conclusion=Conclusion(images=(an_image("gone"),))), "image_gone"),
    ],
    ids=["limit", "closed", "empty", "by-itself", "gone"],
)
async def test_an_order_without_a_call_is_refused(
    clock: FakeClock, reply: Grant | GatewayError, code: str
) -> None:
    async with Assembly(clock) as house:
        house.book.script.append(reply)
        await house.run(an_order())

    fact = ended(house)
    assert (fact.outcome, fact.code) == ("refused" if code else "delivered", code)
    assert fact.record.calls == (0 if code else 1)


async def test_an_order_that_is_not_accepted_is_refused(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        with pytest.raises(GatewayError):
            house.start(an_order(caller=a_caller(policy=Policy(max_n=1)), n=2))

    fact = ended(house)
    assert (fact.outcome, fact.code, fact.sent_model) == ("refused", "invalid_order", "")
    assert (fact.asked_model, fact.is_dying, fact.team) == ("dall-e-3", True, "open")


@pytest.mark.parametrize(
    ("failure", "code"), [(a_refusal(), "refused"), (UNKNOWN, "partial_failure")], ids=["refused", "broken"]
)
async def test_some_images_are_a_part(clock: FakeClock, failure: CallFailure, code: str) -> None:
    async with Assembly(clock, failure) as house:
        await house.run(an_order(n=2))

    fact = ended(house)
    assert (fact.outcome, fact.code, fact.cache) == ("partial", code, "miss")
    assert (fact.record.sources, fact.record.failed) == ([Source.MADE], 1)


@pytest.mark.parametrize(("n", "outcome"), [(1, "delivered"), (2, "abandoned")])
async def test_an_order_that_its_caller_left_ends_with_its_calls(
    clock: FakeClock, n: int, outcome: str
) -> None:
    held = Held()
    async with Assembly(clock, held, a_refusal()) as house:
        running: RunningOrder = house.start(an_order(n=n))
        await held.arrived.wait()
        await until_idle()
        running.abandon()
        await until_idle()
        assert house.telemetry.of(OrderEnded) == []
        held.release()

    fact = ended(house)
    assert (fact.outcome, fact.code, fact.record.sources) == (outcome, "", [Source.MADE])


async def test_a_deadline_that_passes_while_others_make_the_image_is_a_failure(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.script.extend([a_grant(awaited=(0,))] * 100)
        await house.run(an_order(deadline_s=clock.monotonic_s() + 5.0))

    fact = ended(house)
    assert (fact.outcome, fact.code) == ("failed", "deadline_exceeded")
    assert fact.record.total_s == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("kind", "is_hurried", "code"),
    [
        (FailureKind.TIMED_OUT, True, "own_deadline"),
        (FailureKind.NOT_SENT, True, "own_deadline"),
        (FailureKind.TIMED_OUT, False, "upstream_timeout"),
        (FailureKind.SHED, True, "overloaded"),
    ],
)
async def test_a_failure_for_time_is_the_callers_who_left_too_little(
    clock: FakeClock, kind: FailureKind, is_hurried: bool, code: str
) -> None:
    async with Assembly(clock, a_failure(kind=kind)) as house:
        await house.run(an_order(is_hurried=is_hurried))

    assert (ended(house).outcome, ended(house).code) == ("failed", code)
