import asyncio
import contextlib
import dataclasses
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest

from service.domain.errors import (
    GatewayError,
    IdempotencyMismatch,
    PermissionDenied,
    RateLimited,
    StateUnavailable,
    Unauthenticated,
)
from service.domain.limits import Limit, Resource
from service.domain.order import Idempotency
from service.gateway.admission.breaker import FAILURES_TO_OPEN
from service.gateway.admission.local import LocalShare
from service.gateway.admission.shared import LEASE_S, SharedState
from service.gateway.order.waiting import WaitingRoom
from service.ports.admission import SETTLED_KNOWN_S, Ask, Conclusion, Grant, Lease, Settlement
from service.ports.telemetry import LimitDecided, StateBack, StateFailed
from tests.fakes.book import FakeHeartbeats, FakeOrders, FakeWakeups
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.storage import FakeJournal
from tests.fakes.telemetry import FakeTelemetry
from tests.fakes.values import (
    a_grant,
    a_limit,
    a_rate_limit,
    a_settlement,
    a_ticket,
    a_variant,
    an_ask,
    an_image,
)
from tests.gateway.assembly import in_background

BUDGET = a_limit(resource=Resource.BUDGET_PER_MONTH, amount=1_000_000)
ONCE = Idempotency(key="key hash", order="order hash")
RECORD = Lease(ticket=a_ticket(idempotency=ONCE), fence="")


class Around:
    """A shared state and what stands around it."""

    def __init__(
        self, clock: FakeClock | None = None, *, kept: int = 0, book: FakeOrders | None = None
    ) -> None:
        self.clock = clock or FakeClock()
        self.book = book or FakeOrders()
        self.journal = FakeJournal(*(a_settlement(part=str(i)) for i in range(kept)))
        self.telemetry = FakeTelemetry()
        self.state = SharedState(
            book=self.book,
            journal=self.journal,
            clock=self.clock,
            telemetry=self.telemetry,
            local=LocalShare(clock=self.clock, processes=1),
        )

    async def lose_redis(self) -> None:
        """Take Redis away and let it be noticed."""
        self.book.is_gone = True
        for _ in range(FAILURES_TO_OPEN):
            await self.state.begin(an_ask(pool=None))


async def test_the_book_decides_while_it_answers() -> None:
    around = Around()
    grant = a_grant(ready=(a_variant(),), mine=(1,), awaited=(2,))
    around.book.script.append(grant)

    assert await around.state.begin(an_ask()) is grant
    assert around.telemetry.facts == [LimitDecided(decision="allowed", team="open", degraded=False)]
    assert not around.state.is_degraded


async def test_redis_that_was_away_at_the_start_counts_as_gone_until_it_answers() -> None:
    around = Around()

    around.state.start_without(StateUnavailable("connection"))

    assert around.state.trouble == "connection"
    await around.state.begin(an_ask())
    assert around.state.trouble is None


async def test_a_key_of_the_wrong_type_at_the_start_is_no_outage() -> None:
    around = Around()

    around.state.start_without(StateUnavailable("wrongtype"))

    assert around.state.trouble is None


async def test_an_order_is_counted_as_admitted_once() -> None:
    around = Around()
    await around.state.begin(an_ask())

    await around.state.begin(an_ask(round=1))

    assert len(around.telemetry.of(LimitDecided)) == 1


async def test_a_refusal_of_the_book_stands() -> None:
    around = Around()
    refusal = a_rate_limit(resource="images")
    around.book.script.append(refusal)

    with pytest.raises(RateLimited) as caught:
        await around.state.begin(an_ask())

    assert caught.value is refusal
    assert around.telemetry.facts == [
        LimitDecided(
            decision="refused",
            team="open",
            degraded=False,
            limit="images",
            scope="user",
            limits=refusal.limits,
        )
    ]


async def test_without_an_answer_the_local_share_decides() -> None:
    around = Around()
    around.book.script.extend([StateUnavailable("timeout")] * 2)

    grant = await around.state.begin(an_ask(n=2))

    assert grant.degraded
    assert len(grant.mine) == 2
    assert around.telemetry.facts == [
        StateFailed(operation="begin", reason="timeout"),
        StateFailed(operation="begin", reason="timeout"),
        LimitDecided(decision="allowed", team="open", degraded=True),
    ]


async def test_a_refusal_of_the_local_share_is_told_as_such() -> None:
    around = Around()
    around.book.is_gone = True
    ask = an_ask(limits=(a_limit(amount=1),))
    await around.state.begin(ask)

    with pytest.raises(RateLimited) as caught:
        await around.state.begin(ask)

    assert around.telemetry.of(LimitDecided)[-1] == LimitDecided(
        decision="refused",
        team="open",
        degraded=True,
        limit="requests",
        scope="user",
        limits=caught.value.limits,
    )


async def test_a_redis_that_is_gone_is_not_asked_again_and_again() -> None:
    around = Around()
    await around.lose_redis()
    asked = len(around.book.asks)

    await around.state.begin(an_ask())
    await around.state.finish(a_settlement())

    assert around.state.is_degraded
    assert len(around.book.asks) == asked
    assert around.journal.kept == [a_settlement()]


async def test_a_probe_finds_redis_again() -> None:
    around = Around()
    await around.lose_redis()
    around.book.is_gone = False
    around.clock.advance(1.0)

    assert not (await around.state.begin(an_ask())).degraded
    assert not around.state.is_degraded


async def test_a_refusal_is_a_sign_of_life() -> None:
    around = Around()
    await around.lose_redis()
    around.book.is_gone = False
    around.book.script.append(a_rate_limit())
    around.clock.advance(1.0)

    with pytest.raises(RateLimited):
        await around.state.begin(an_ask())

    assert not around.state.is_degraded


WRITES_REFUSED = ["oom", "readonly", "no_replicas", "misconf"]


async def refuse_writes(around: Around, reason: str) -> None:
    """Have Redis refuse the writes of as many orders as open the breaker."""
    for _ in range(FAILURES_TO_OPEN):
        around.book.script.append(StateUnavailable(reason))
        assert (await around.state.begin(an_ask(pool=None))).degraded


@pytest.mark.parametrize("reason", WRITES_REFUSED)
async def test_a_redis_that_takes_no_changes_counts_as_gone(reason: str) -> None:
    around = Around()

    await refuse_writes(around, reason)

    assert around.state.is_degraded
    assert around.state.trouble == reason
    assert set(around.telemetry.of(StateFailed)) == {StateFailed(operation="begin", reason=reason)}


@pytest.mark.parametrize("reason", WRITES_REFUSED)
async def test_reading_is_no_sign_that_it_takes_changes_again(clock: FakeClock, reason: str) -> None:
    around = Around(clock)
    await refuse_writes(around, reason)
    around.clock.advance(1.0)
    around.book.script.append(a_rate_limit())
    with pytest.raises(RateLimited):
        await around.state.begin(an_ask())
    around.clock.advance(1.0)
    around.book.script.append(a_grant(ready=(a_variant(),)))
    assert not (await around.state.begin(an_ask())).degraded
    async with in_background(around.state.renew_forever()):
        await asyncio.sleep(LEASE_S)
    assert around.book.renewals
    assert around.state.is_degraded

    await around.state.finish(a_settlement())

    assert (around.state.is_degraded, around.state.trouble) == (False, None)


async def test_readers_do_not_use_up_the_probes_of_settlements(clock: FakeClock) -> None:
    around = Around(clock, kept=3)
    await refuse_writes(around, "misconf")
    around.book.script.extend([a_grant(ready=(a_variant(),))] * 50)
    around.clock.advance(1.0)
    async with in_background(around.state.pending.replay_forever()):
        await until_idle()
        for _ in range(5):
            # Just before a replay is due.
            await asyncio.sleep(0.99)
            await around.state.begin(an_ask())
            await asyncio.sleep(0.01)

    assert (around.journal.kept, around.state.is_degraded) == ([], False)


async def test_reading_does_not_end_a_row_of_refused_changes() -> None:
    around = Around()
    for _ in range(FAILURES_TO_OPEN):
        around.book.script.extend([StateUnavailable("misconf"), Unauthenticated("Revoked.")])
        await around.state.begin(an_ask(pool=None))
        with contextlib.suppress(Unauthenticated):
            await around.state.begin(an_ask())

    assert around.state.is_degraded


async def test_settlements_go_to_the_book() -> None:
    around = Around()

    await around.state.finish(a_settlement())

    assert around.book.settlements == [a_settlement()]
    assert around.journal.kept == []


async def test_settlements_redis_cannot_take_are_kept() -> None:
    around = Around()
    around.book.is_gone = True

    await around.state.finish(a_settlement())

    assert around.journal.kept == [a_settlement()]
    assert around.telemetry.facts == [StateFailed(operation="finish", reason="timeout")]


async def test_a_settlement_may_be_put_off() -> None:
    around = Around()
    [index] = (await around.state.begin(an_ask())).mine

    around.state.finish_later(a_settlement(released=(index,)))

    assert around.book.settlements == []
    assert around.journal.kept == [a_settlement(released=(index,))]


async def test_local_claims_end_with_their_settlement() -> None:
    around = Around()
    around.book.is_gone = True
    [index] = (await around.state.begin(an_ask(id="order-1"))).mine
    assert (await around.state.begin(an_ask(id="order-2"))).awaited == (index,)

    await around.state.finish(a_settlement(released=(index,)))

    assert (await around.state.begin(an_ask(id="order-3"))).awaited == ()


async def test_local_claims_last_until_their_settlement_is_on_the_disk() -> None:
    """An order that began in between would make the image again."""
    around = Around()
    await around.lose_redis()
    around.journal.hangs = True
    [index] = (await around.state.begin(an_ask(id="order-1"))).mine
    async with in_background(around.state.finish(a_settlement(released=(index,)))):
        await until_idle()
        assert (await around.state.begin(an_ask(id="order-2"))).awaited == (index,)

    assert (await around.state.begin(an_ask(id="order-3"))).awaited == ()


async def test_the_last_word_of_an_order_does_not_overtake_the_others(clock: FakeClock) -> None:
    """It concludes the key: with images that Redis does not know, nobody could get the answer again."""
    around = Around(clock)
    around.book.is_gone = True
    await around.state.finish(a_settlement(idempotency=ONCE))
    around.book.is_gone = False

    await around.state.finish(a_settlement(part="last", idempotency=ONCE, is_last=True))
    await around.state.finish(a_settlement(id="order-2", part="last", idempotency=ONCE, is_last=True))
    async with in_background(around.state.pending.replay_forever()):
        await asyncio.sleep(3)

    sent = [(settlement.ticket.id, settlement.part) for settlement in around.book.settlements]
    assert sent == [("order-2", "last"), ("order-1", "0.0"), ("order-1", "last")]


async def test_who_orders_without_redis_waits_for_what_was_begun_with_it() -> None:
    """However long Redis is away, a process knows what it is making itself."""
    around = Around()
    await around.state.begin(an_ask(n=2))
    await around.state.finish(a_settlement(made=((0, an_image()),)))
    around.book.is_gone = True

    same = await around.state.begin(an_ask(id="order-2"))
    fresh = await around.state.begin(an_ask(id="order-3", fresh=True))
    other = await around.state.begin(an_ask(id="order-4", pool="other"))
    await around.state.finish(a_settlement(part="0.1", released=(1,)))
    later = await around.state.begin(an_ask(id="order-5", pool="pool", used=fresh.mine))

    assert (same.mine, same.awaited) == ((), (1,))
    assert [grant.awaited for grant in (fresh, other, later)] == [(), (), ()]


async def test_what_was_had_by_a_local_index_is_not_given_by_another() -> None:
    """Once Redis is back it hands out what was made meanwhile, under indices of its own."""
    around = Around()
    await around.lose_redis()
    [index] = (await around.state.begin(an_ask())).mine
    around.book.is_gone = False
    around.clock.advance(1.0)
    await around.state.finish(a_settlement(made=((index, an_image("d0")),)))
    both = (a_variant(0), a_variant(1))
    around.book.script.extend([a_grant(ready=both, mine=(2,)), a_grant(ready=both), a_grant(ready=both[1:])])

    filled = await around.state.begin(an_ask(n=3, round=1, used=(index,)))
    asked_again = await around.state.begin(an_ask(n=2, round=2, used=(index, 2)))

    assert (filled.ready, filled.mine) == (both[1:], (2,))
    assert asked_again.ready == both[1:]
    assert [ask.used for ask in around.book.asks[-3:]] == [(index,), (index, 2), (index, 2, 0)]


async def test_claims_of_running_orders_are_renewed_well_within_their_lease(clock: FakeClock) -> None:
    around = Around(clock)
    around.book.script.append(a_grant(mine=(3, 4)))
    await around.state.begin(an_ask())
    async with in_background(around.state.renew_forever()):
        await asyncio.sleep(LEASE_S * 0.9)

    lease = Lease(ticket=a_ticket(), fence="order-1.0", indices=(3, 4), granted=2)
    assert around.book.renewals == [(lease,), (lease,)]


async def test_only_what_is_still_held_is_renewed(clock: FakeClock) -> None:
    around = Around(clock)
    around.book.script.append(a_grant(mine=(3, 4, 5)))
    await around.state.begin(an_ask())
    async with in_background(around.state.renew_forever()):
        await around.state.finish(a_settlement(made=((3, an_image()),)))
        await asyncio.sleep(LEASE_S / 3 + 1)
        await around.state.finish(a_settlement(made=((None, an_image()),), released=(4,)))
        await asyncio.sleep(LEASE_S / 3)
        await around.state.finish(a_settlement(released=(5,)))
        await asyncio.sleep(LEASE_S / 3)

    assert [[lease.indices for lease in leases] for leases in around.book.renewals] == [[(4, 5)], [(5,)], []]


async def test_what_the_local_share_gave_is_not_renewed(clock: FakeClock) -> None:
    around = Around(clock)
    around.book.script.extend([StateUnavailable("timeout")] * 2)
    await around.state.begin(an_ask())
    around.book.script.append(a_grant(awaited=(1,)))
    await around.state.begin(an_ask(id="order-2"))
    async with in_background(around.state.renew_forever()):
        await asyncio.sleep(LEASE_S / 3 + 1)

    assert around.book.renewals == [()]


async def test_renewal_outlives_an_outage(clock: FakeClock) -> None:
    around = Around(clock)
    around.book.is_gone = True
    async with in_background(around.state.renew_forever()):
        await asyncio.sleep(LEASE_S / 3 + 1)
        around.book.is_gone = False
        await asyncio.sleep(LEASE_S / 3)

    assert around.telemetry.of(StateFailed) == [StateFailed(operation="renew", reason="timeout")]
    assert around.book.renewals == [()]


async def test_what_was_kept_is_sent_oldest_first_and_forgotten(clock: FakeClock) -> None:
    around = Around(clock, kept=3)
    async with in_background(around.state.pending.replay_forever()):
        await asyncio.sleep(1.5)

    assert [settlement.part for settlement in around.book.settlements] == ["0", "1", "2"]
    assert around.journal.kept == []


async def test_what_was_kept_stays_while_redis_is_gone(clock: FakeClock) -> None:
    around = Around(clock, kept=2)
    around.book.is_gone = True
    async with in_background(around.state.pending.replay_forever()):
        await asyncio.sleep(2.5)
        assert len(around.journal.kept) == 2
        around.book.is_gone = False
        await asyncio.sleep(1.0)

    assert around.journal.kept == []
    failures = around.telemetry.of(StateFailed)
    assert set(failures) == {StateFailed(operation="replay", reason="timeout")}


async def test_news_from_elsewhere_wake_who_waits_here() -> None:
    room, wakeups = WaitingRoom(), FakeWakeups()
    async with (
        in_background(room.listen_forever(wakeups)),
        asyncio.TaskGroup() as group,
    ):
        waiting = group.create_task(room.wait("pool", [7], left_s=60.0))
        await asyncio.sleep(0)
        wakeups.tell("pool", 7)
        await until_idle()

        assert waiting.done()
        assert await waiting == {}


async def test_an_unanswered_ask_without_a_settlement_is_given_up(clock: FakeClock) -> None:
    """Redis may act on a question whose answer was lost: a refused order must not stay held there."""
    around = Around(clock)
    around.book.is_gone = True
    limits = (Limit(resource=Resource.IMAGES, scope="user", key="user", amount=1),)
    await around.state.begin(an_ask(id="order-1", n=1, pool=None, limits=limits))
    with pytest.raises(RateLimited):
        await around.state.begin(an_ask(id="order-2", n=1, pool=None, limits=limits))

    assert [(settlement.ticket.id, settlement.released) for settlement in around.journal.kept] == [
        ("order-2", (-1,))
    ]


async def test_a_strangers_variant_is_counted(clock: FakeClock) -> None:
    around = Around(clock)
    around.book.script.append(dataclasses.replace(a_grant(mine=(0,)), foreign=1))

    await around.state.begin(an_ask())

    assert around.telemetry.of(StateFailed) == [StateFailed(operation="begin", reason="foreign")]


@pytest.mark.parametrize("refusal", [Unauthenticated("Revoked."), PermissionDenied("Closed.")])
async def test_a_caller_the_book_denies_is_denied(refusal: GatewayError) -> None:
    around = Around()
    around.book.script.append(refusal)

    with pytest.raises(type(refusal)) as caught:
        await around.state.begin(an_ask())

    assert caught.value is refusal
    assert around.telemetry.facts == []
    assert around.journal.kept == []
    assert around.state._leases == {}


@pytest.mark.parametrize("refusal", [Unauthenticated("Revoked."), PermissionDenied("Closed.")])
async def test_denying_a_caller_is_a_sign_of_life(refusal: GatewayError) -> None:
    around = Around()
    await around.lose_redis()
    around.book.is_gone = False
    around.book.script.append(refusal)
    around.clock.advance(1.0)

    with pytest.raises(type(refusal)):
        await around.state.begin(an_ask())

    assert not around.state.is_degraded


async def test_denied_callers_never_open_the_breaker() -> None:
    around = Around()
    for _ in range(2 * FAILURES_TO_OPEN):
        around.book.script.append(Unauthenticated("Revoked."))
        with pytest.raises(Unauthenticated):
            await around.state.begin(an_ask())

    assert not around.state.is_degraded


async def test_failures_count_in_a_row_and_a_denial_ends_the_row() -> None:
    around = Around()
    for _ in range(FAILURES_TO_OPEN - 1):
        around.book.script.append(StateUnavailable("loading"))
        await around.state.begin(an_ask(pool=None))
    around.book.script.extend([Unauthenticated("Revoked."), StateUnavailable("loading")])
    with pytest.raises(Unauthenticated):
        await around.state.begin(an_ask())

    await around.state.begin(an_ask(pool=None))

    assert not around.state.is_degraded


async def test_money_is_not_spent_while_redis_is_gone() -> None:
    around = Around()
    await around.lose_redis()
    kept = list(around.journal.kept)

    with pytest.raises(StateUnavailable) as caught:
        await around.state.begin(an_ask(limits=(BUDGET,)))

    assert caught.value.reason == "degraded"
    # Redis was not asked, so there is nothing to give up.
    assert around.journal.kept == kept
    assert around.telemetry.of(LimitDecided)[-1] == LimitDecided(
        decision="refused", team="open", degraded=True, limit="budget_unknown", scope=BUDGET.scope
    )


async def test_an_unanswered_ask_for_money_is_given_up() -> None:
    around = Around()
    around.book.script.extend([StateUnavailable("timeout")] * 2)
    ask = an_ask(
        round=3, limits=(BUDGET,), scopes=(("user", "ann"),), weight=4, estimate_microusd=40_000, pool="pool"
    )

    with pytest.raises(StateUnavailable) as caught:
        await around.state.begin(ask)

    assert caught.value.reason == "degraded"
    assert around.journal.kept == [
        a_settlement(
            part="3.unheard",
            fence=ask.fence,
            limits=(BUDGET,),
            scopes=(("user", "ann"),),
            weight=4,
            estimate_microusd=40_000,
            released=(-1,),
            realm=ask.ticket.realm,
        )
    ]


async def test_who_waits_on_is_not_asked_for_money_by_a_silent_redis() -> None:
    around = Around()
    around.book.script.extend([StateUnavailable("timeout")] * 2)

    grant = await around.state.begin(an_ask(round=1, limits=(BUDGET,), awaiting=(4,)))

    assert (grant.mine, grant.awaited) == ((), (4,))
    assert around.journal.kept == []


async def test_the_share_is_divided_by_the_processes_that_were_last_heard_of(clock: FakeClock) -> None:
    around, heartbeats = Around(clock), FakeHeartbeats(2, 5)
    limit = a_limit(resource=Resource.IMAGES_PER_DAY, amount=10)

    async def share() -> int:
        around.book.script.extend([StateUnavailable("timeout")] * 2)
        return (await around.state.begin(an_ask(only_ready=True, limits=(limit,)))).limits[0].limit

    assert await share() == 10
    async with in_background(around.state.beat_forever(heartbeats)):
        await until_idle()
        assert (heartbeats.beats, await share()) == (1, 5)
        await asyncio.sleep(5.0)
        assert (heartbeats.beats, await share()) == (2, 2)
        heartbeats.is_gone = True
        await asyncio.sleep(60.0)

        assert await share() == 2

    failures = around.telemetry.of(StateFailed)
    assert StateFailed(operation="beat", reason="timeout") in failures


async def test_a_heartbeat_that_is_heard_closes_the_breaker(clock: FakeClock) -> None:
    around, heartbeats = Around(clock), FakeHeartbeats(1)
    await around.lose_redis()
    async with in_background(around.state.beat_forever(heartbeats)):
        await asyncio.sleep(5.0 + 1.0)

    assert not around.state.is_degraded


async def test_exactly_once_is_not_promised_without_redis() -> None:
    around = Around()
    await around.lose_redis()
    asked, kept = len(around.book.asks), list(around.journal.kept)

    with pytest.raises(StateUnavailable) as caught:
        await around.state.begin(an_ask(idempotency=ONCE))

    assert caught.value.reason == "degraded"
    assert around.telemetry.of(LimitDecided)[-1] == LimitDecided(
        decision="refused", team="open", degraded=True, limit="idempotency"
    )
    # Redis was not asked, so there is nothing to give up.
    assert (len(around.book.asks), around.journal.kept) == (asked, kept)
    assert around.state._leases == {}


async def test_an_unanswered_first_ask_gives_up_its_key() -> None:
    around = Around()
    around.book.script.extend([StateUnavailable("timeout")] * 2)

    with pytest.raises(StateUnavailable) as caught:
        await around.state.begin(an_ask(idempotency=ONCE))

    assert caught.value.reason == "degraded"
    [given_up] = around.journal.kept
    assert (given_up.part, given_up.ticket.idempotency, given_up.is_last) == ("0.unheard", ONCE, True)
    assert (given_up.released, given_up.conclusion) == ((-1,), None)


@pytest.mark.parametrize("is_noticed", [True, False])
async def test_an_order_with_a_key_that_has_begun_goes_on_without_redis(*, is_noticed: bool) -> None:
    around = Around()
    if is_noticed:
        await around.lose_redis()
    around.book.is_gone = True
    kept = list(around.journal.kept)

    making = await around.state.begin(an_ask(round=1, idempotency=ONCE))
    waiting = await around.state.begin(an_ask(round=2, idempotency=ONCE, awaiting=(7,)))

    assert (len(making.mine), making.degraded) == (1, True)
    assert (waiting.mine, waiting.awaited) == ((), (7,))
    assert around.journal.kept == kept


async def test_a_wait_goes_on_without_redis_only_for_what_redis_knows() -> None:
    """Below 0 are the indices of a local share, which knows by itself who still makes them."""
    around = Around()
    await around.lose_redis()

    waiting = await around.state.begin(an_ask(round=1, pool="other", awaiting=(-3, 7)))
    making = await around.state.begin(an_ask(round=1, pool="other", awaiting=(-3,)))

    assert (waiting.mine, waiting.awaited) == ((), (7,))
    assert (len(making.mine), making.awaited) == (1, ())


@pytest.mark.parametrize("grant", [a_grant(is_under_way=True), a_grant(conclusion=Conclusion())])
async def test_what_is_left_to_a_twin_is_neither_counted_nor_held(grant: Grant) -> None:
    around = Around()
    around.book.script.append(grant)

    assert await around.state.begin(an_ask(idempotency=ONCE)) is grant
    assert around.telemetry.facts == []
    assert around.state._leases == {}


async def test_a_key_used_for_another_order_is_a_sign_of_life() -> None:
    around = Around()
    await around.lose_redis()
    around.book.is_gone = False
    around.book.script.append(IdempotencyMismatch())
    around.clock.advance(1.0)

    with pytest.raises(IdempotencyMismatch):
        await around.state.begin(an_ask(idempotency=ONCE))

    assert not around.state.is_degraded
    assert around.state._leases == {}


async def test_a_key_is_held_until_the_last_settlement(clock: FakeClock) -> None:
    around = Around(clock)
    around.book.script.append(a_grant(awaited=(3,)))
    await around.state.begin(an_ask(idempotency=ONCE))
    async with in_background(around.state.renew_forever()):
        await asyncio.sleep(LEASE_S / 3 + 1)
        await around.state.finish(a_settlement(fence="", forgotten=((0, "d0"),), idempotency=ONCE))
        await asyncio.sleep(LEASE_S / 3)
        await around.state.finish(a_settlement(part="last", fence="", idempotency=ONCE, is_last=True))
        await asyncio.sleep(LEASE_S / 3)

    assert around.book.renewals == [(RECORD,), (RECORD,), ()]


async def test_a_key_is_held_beside_the_claims_of_its_order(clock: FakeClock) -> None:
    around = Around(clock)
    around.book.script.append(a_grant(mine=(3,)))
    await around.state.begin(an_ask(idempotency=ONCE))
    async with in_background(around.state.renew_forever()):
        await asyncio.sleep(LEASE_S / 3 + 1)
        await around.state.finish(a_settlement(made=((3, an_image()),), idempotency=ONCE))
        await asyncio.sleep(LEASE_S / 3)

    claims = Lease(ticket=a_ticket(idempotency=ONCE), fence="order-1.0", indices=(3,), granted=1)
    assert around.book.renewals == [(RECORD, claims), (RECORD,)]


async def test_a_key_that_is_given_up_later_is_held_no_longer() -> None:
    around = Around()
    await around.state.begin(an_ask(n=0, idempotency=ONCE))
    assert list(around.state._leases.values()) == [RECORD]

    around.state.finish_later(a_settlement(fence="", is_last=True))

    assert around.state._leases == {}


@pytest.mark.parametrize("reason", ["timeout", "connection", "pool"])
async def test_an_unanswered_ask_is_repeated_once_before_the_local_share(reason: str) -> None:
    around = Around()
    grant = a_grant(ready=(a_variant(),))
    around.book.script.extend([StateUnavailable(reason), grant])
    ask = an_ask()

    assert await around.state.begin(ask) is grant
    assert around.book.asks == [ask, ask]
    assert around.journal.kept == []
    assert around.telemetry.facts == [
        StateFailed(operation="begin", reason=reason),
        LimitDecided(decision="allowed", team="open", degraded=False),
    ]


async def test_a_refusal_of_the_repeated_ask_is_final() -> None:
    around = Around()
    refusal = a_rate_limit()
    around.book.script.extend([StateUnavailable("timeout"), refusal])

    with pytest.raises(RateLimited) as caught:
        await around.state.begin(an_ask())

    assert caught.value is refusal
    assert around.journal.kept == []


@pytest.mark.parametrize("reason", ["oom", "readonly", "wrongtype"])
async def test_an_error_answer_is_not_asked_again(reason: str) -> None:
    around = Around()
    around.book.script.append(StateUnavailable(reason))

    assert (await around.state.begin(an_ask())).degraded
    assert len(around.book.asks) == 1


async def test_a_redis_known_to_be_gone_is_probed_once() -> None:
    around = Around()
    await around.lose_redis()
    asked = len(around.book.asks)
    around.clock.advance(1.0)

    assert (await around.state.begin(an_ask())).degraded
    assert len(around.book.asks) == asked + 1


@pytest.mark.parametrize("reason", ["wrongtype", "response", "mixed_up"])
async def test_a_broken_redis_key_does_not_open_the_breaker(reason: str) -> None:
    around = Around()
    for _ in range(2 * FAILURES_TO_OPEN):
        around.book.script.append(StateUnavailable(reason))
        await around.state.begin(an_ask(pool=None))

    assert not around.state.is_degraded
    failures = around.telemetry.of(StateFailed)
    assert failures == [StateFailed(operation="begin", reason=reason)] * 2 * FAILURES_TO_OPEN


async def test_a_cancelled_settlement_goes_to_the_journal() -> None:
    around = Around()
    around.book.may_finish.clear()
    async with in_background(around.state.finish(a_settlement())):
        await around.book.finishing.wait()

    assert around.book.settlements == []
    assert around.journal.kept == [a_settlement()]


class SilentBook(FakeOrders):
    """Hears every question and answers none."""

    async def begin(self, ask: Ask) -> Grant:
        self.asks.append(ask)
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_cancelled_ask_is_given_up() -> None:
    around = Around(book=SilentBook())
    async with AsyncExitStack() as asking:
        for number in range(50):
            await asking.enter_async_context(in_background(_begin(around, an_ask(id=str(number), n=2))))
        await until_idle()
        sent = [ask.ticket.id for ask in around.book.asks]

    assert 0 < len(sent) < 50
    # An order that waited for a turn has not asked Redis.
    assert sorted(settlement.ticket.id for settlement in around.journal.kept) == sorted(sent)
    assert {settlement.part for settlement in around.journal.kept} == {"0.unheard"}
    assert {settlement.released for settlement in around.journal.kept} == {(-1,)}


@pytest.mark.parametrize(("round_", "is_last"), [(0, True), (1, False)])
async def test_a_cancelled_first_ask_gives_up_its_key(round_: int, *, is_last: bool) -> None:
    """An order that has begun says its last word by itself."""
    around = Around(book=SilentBook())
    async with in_background(_begin(around, an_ask(round=round_, idempotency=ONCE))):
        await until_idle()

    [given_up] = around.journal.kept
    assert (given_up.part, given_up.ticket.idempotency) == (f"{round_}.unheard", ONCE)
    assert (given_up.is_last, given_up.conclusion) == (is_last, None)


async def _begin(around: Around, ask: Ask) -> None:
    await around.state.begin(ask)


class PickyBook(FakeOrders):
    """Cannot take the settlements whose part is in *refused*."""

    def __init__(self, *refused: str, reason: str) -> None:
        super().__init__()
        self.refused = refused
        self.reason = reason
        self.tried: list[str] = []

    async def finish(self, settlement: Settlement) -> None:
        self.tried.append(settlement.part)
        if settlement.part in self.refused:
            raise StateUnavailable(self.reason)
        await super().finish(settlement)


class SlowBook(FakeOrders):
    """A Redis whose first renewal fails, once *may_renew* is set."""

    def __init__(self) -> None:
        super().__init__()
        self.may_renew = asyncio.Event()

    async def renew(self, leases: Sequence[Lease]) -> None:
        if not self.may_renew.is_set():
            await self.may_renew.wait()
            raise StateUnavailable("timeout")
        await super().renew(leases)


async def test_a_replay_sends_a_long_journal_at_once(clock: FakeClock) -> None:
    around = Around(clock, kept=250)
    async with in_background(around.state.pending.replay_forever()):
        await asyncio.sleep(1.5)

    assert [settlement.part for settlement in around.book.settlements] == [str(i) for i in range(250)]
    assert around.journal.kept == []


async def test_a_rejected_settlement_does_not_block_others(clock: FakeClock) -> None:
    book = PickyBook("1", reason="wrongtype")
    around = Around(clock, kept=3, book=book)
    async with in_background(around.state.pending.replay_forever()):
        await asyncio.sleep(1.5)
        assert [settlement.part for settlement in around.journal.kept] == ["1"]
        await asyncio.sleep(1.0)

    # Once a second, not again and again.
    assert book.tried == ["0", "1", "2", "1"]


async def test_a_replay_stops_where_redis_goes_away(clock: FakeClock) -> None:
    book = PickyBook("1", "2", "3", "4", reason="oom")
    around = Around(clock, kept=5, book=book)
    async with in_background(around.state.pending.replay_forever()):
        await asyncio.sleep(1.5)

    assert book.tried == ["0", "1", "2", "3"]
    assert [settlement.part for settlement in around.journal.kept] == ["1", "2", "3", "4"]


async def test_a_flush_sends_the_whole_journal(clock: FakeClock) -> None:
    around = Around(clock, kept=250)
    started_s = clock.monotonic_s()
    await around.state.pending.flush()

    assert [settlement.part for settlement in around.book.settlements] == [str(i) for i in range(250)]
    assert around.journal.kept == []
    assert clock.monotonic_s() == started_s


async def test_a_flush_sends_again_what_failed_once(clock: FakeClock) -> None:
    book = PickyBook("0", reason="timeout")
    around = Around(clock, kept=1, book=book)
    async with asyncio.TaskGroup() as group:
        group.create_task(around.state.pending.flush())
        await until_idle()
        book.refused = ()

    assert book.tried == ["0", "0"]
    assert around.journal.kept == []


async def test_a_flush_ends_once_redis_counts_as_gone(clock: FakeClock) -> None:
    around = Around(clock, kept=5)
    around.book.is_gone = True
    await around.state.pending.flush()

    assert len(around.journal.kept) == 5
    assert len(around.telemetry.of(StateFailed)) == FAILURES_TO_OPEN


@pytest.mark.parametrize("reason", ["wrongtype", "no answer"])
async def test_a_flush_is_bounded(clock: FakeClock, reason: str) -> None:
    book = PickyBook("0", reason=reason) if reason == "wrongtype" else FakeOrders()
    book.may_finish.clear()
    around = Around(clock, kept=1, book=book)
    started_s = clock.monotonic_s()
    await around.state.pending.flush()

    assert clock.monotonic_s() - started_s == pytest.approx(5.0)
    assert len(around.journal.kept) == 1


async def test_an_outage_that_ends_during_a_renewal_is_followed_by_another(clock: FakeClock) -> None:
    """The failed one renewed nothing, and the next turn is too late for lapsed claims."""
    book = SlowBook()
    around = Around(clock, book=book)
    async with in_background(around.state.renew_forever()):
        await asyncio.sleep(LEASE_S / 3 + 1)
        await around.lose_redis()
        book.is_gone = False
        await asyncio.sleep(2.0)
        await around.state.begin(an_ask())
        book.may_renew.set()
        await asyncio.sleep(1.0)

    assert len(book.renewals) == 1


async def test_leases_are_renewed_as_soon_as_redis_is_back(clock: FakeClock) -> None:
    around = Around(clock)
    await around.lose_redis()
    async with in_background(around.state.renew_forever()):
        await asyncio.sleep(LEASE_S)
        around.book.is_gone = False
        await asyncio.sleep(2.5)
        assert around.book.renewals

        await around.lose_redis()
        around.book.is_gone = False
        around.book.renewals.clear()
        await asyncio.sleep(1.0)
        await around.state.begin(an_ask())
        await until_idle()
        assert around.book.renewals


async def test_the_end_of_an_outage_is_told_once(clock: FakeClock) -> None:
    around = Around(clock)
    await around.lose_redis()
    around.book.is_gone = False
    await asyncio.sleep(1.5)
    assert around.telemetry.of(StateBack) == []

    for _ in range(3):
        await around.state.begin(an_ask())

    assert around.telemetry.of(StateBack) == [StateBack()]


async def test_what_redis_granted_counts_in_flight_in_an_outage(clock: FakeClock) -> None:
    around = Around(clock)
    limits = (a_limit(resource=Resource.IMAGES_IN_FLIGHT, scope="user", key="ann", amount=2),)
    await around.state.begin(an_ask(id="order-1", n=2, team="another", pool=None, limits=limits))
    mine = an_ask(id="order-2", n=2, pool=None, limits=limits)
    grant = await around.state.begin(mine)
    await around.lose_redis()

    with pytest.raises(RateLimited):
        await around.state.begin(an_ask(id="order-3", pool=None, limits=limits))
    around.state.finish_later(a_settlement(ticket=mine.ticket, released=grant.mine))
    assert (await around.state.begin(an_ask(id="order-4", n=2, pool=None, limits=limits))).degraded


async def test_a_settlement_that_may_be_forgotten_is_not_sent_again(clock: FakeClock) -> None:
    """Redis may have taken it a week ago without an answer; another that was never sent is as good as new."""
    book = PickyBook("0.0", reason="timeout")
    around = Around(clock, book=book)
    await around.state.finish(a_settlement())
    around.state.finish_later(a_settlement(part="0.1"))
    book.refused, book.tried = (), []
    clock.advance(SETTLED_KNOWN_S)

    async with in_background(around.state.pending.replay_forever()):
        await asyncio.sleep(1.5)

    assert book.tried == ["0.1"]
    assert around.journal.kept == []
    assert StateFailed(operation="replay", reason="expired") in around.telemetry.facts


async def test_a_replay_without_an_answer_notes_when_it_was_sent(clock: FakeClock) -> None:
    book = PickyBook("0.0", reason="connection")
    around = Around(clock, book=book)
    around.state.finish_later(a_settlement())
    assert [settlement.sent_s for settlement in around.journal.kept] == [None]

    async with in_background(around.state.pending.replay_forever()):
        await asyncio.sleep(2.5)

    assert book.tried == ["0.0", "0.0"]
    [settlement] = around.journal.kept
    assert settlement.sent_s == pytest.approx(clock.wall_s(), abs=3)


async def test_a_settlement_that_was_refused_was_not_sent(clock: FakeClock) -> None:
    around = Around(clock, book=PickyBook("0.0", reason="oom"))
    await around.state.finish(a_settlement())

    assert [settlement.sent_s for settlement in around.journal.kept] == [None]
