"""What is checked, translated, priced and named before an order is set going."""

from dataclasses import replace
from typing import Any

import pytest

from service.domain.callers import CacheScope, Policy, Scope
from service.domain.catalog import Catalog
from service.domain.errors import GatewayError, InvalidOrder, ModelNotAllowed, PriceUnknown
from service.domain.images import Delivery
from service.domain.limits import Limit, Resource
from service.domain.order import CacheControl
from service.domain.progress import Admitted, ImageReady
from service.gateway.order.accept import Pools
from service.ports.telemetry import OrderEnded
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.values import a_caller, a_catalog, a_grant, a_limit_state, an_order, scopes_of
from tests.gateway.assembly import Assembly, name_pool, read
from tests.gateway.facts import error, of, pool_of


async def test_no_store_stays_out_of_the_pool(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        facts = await house.run(an_order(cache=CacheControl(keep=False)))

    assert house.book.asks[0].ticket.pool is None
    assert house.book.settlements[0].made == ((None, of(ImageReady, facts)[0].image),)


async def test_without_a_cache_nothing_is_pooled(clock: FakeClock) -> None:
    async with Assembly(clock, pools=None) as house:
        facts = await house.run(an_order())

    assert error(facts) is None
    assert house.book.asks[0].ticket.pool is None


async def test_identical_orders_share_a_pool_and_others_do_not(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        await house.run(an_order(id="order-1", n=1))
        await house.run(an_order(id="order-2", n=2, delivery=Delivery.URL))
        await house.run(an_order(id="order-3", prompt="A harbour"))
        await house.run(an_order(id="order-4", caller=a_caller(team="another")))

    pools = [ask.ticket.pool for ask in house.book.asks]
    assert pools[0] == pools[1]
    assert len(set(pools)) == 3


async def test_limits_of_the_policy_are_asked_and_reported(clock: FakeClock) -> None:
    caller = a_caller(user="ann", policy=Policy(requests_per_min=60, images_per_min=5))
    states = (a_limit_state(resource="requests"), a_limit_state(resource="images"))
    async with Assembly(clock) as house:
        house.book.script.append(a_grant(mine=(0,), limits=states))
        facts = await house.run(an_order(caller=caller))

    assert house.book.asks[0].ticket.limits == (
        Limit(resource=Resource.REQUESTS, scope="user", key="ann", amount=60),
        Limit(resource=Resource.IMAGES, scope="user", key="ann", amount=5),
    )
    assert facts[0] == Admitted(limits=states, degraded=False, pending=1)


async def test_limits_that_are_not_set_are_not_asked(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        await house.run(an_order(caller=a_caller(policy=Policy(images_per_min=5))))

    assert [limit.resource for limit in house.book.asks[0].ticket.limits] == ["images"]


@pytest.mark.parametrize(("n", "images_per_min"), [(5, 5), (10, 0), (1, 1)])
async def test_an_order_within_the_burst_is_accepted(clock: FakeClock, n: int, images_per_min: int) -> None:
    caller = a_caller(policy=Policy(images_per_min=images_per_min))
    async with Assembly(clock) as house:
        assert error(await house.run(an_order(n=n, caller=caller))) is None


async def test_an_order_above_its_limits_is_refused_at_once(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        with pytest.raises(InvalidOrder) as caught:
            house.start(an_order(n=6, caller=a_caller(policy=Policy(images_per_min=5))))

    assert (caught.value.param, caught.value.code) == ("n", "integer_above_max_value")
    assert "at most 5 images per min" in str(caught.value)
    assert house.book.asks == []


async def test_an_invalid_order_is_refused_before_any_ask(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        with pytest.raises(InvalidOrder):
            house.start(an_order(parameters={"size": "1x1"}))

    assert house.book.asks == []
    [ended] = house.telemetry.facts
    assert isinstance(ended, OrderEnded)
    assert (ended.outcome, ended.record.begin_s) == ("refused", 0.0)


async def test_acceptance_returns_the_sent_order(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        running, sent, _ = house.orders.start(an_order(parameters={"quality": "hd"}))
        await read(running)

    assert (sent.target.name, sent.parameters["quality"]) == ("gpt-image-2.6-flare", "high")
    [call] = house.backend.calls
    assert (call.model, call.parameters, call.prompt) == (sent.target.name, sent.parameters, sent.prompt)
    assert house.book.asks[0].ticket.model == "gpt-image-2.6-flare"


async def test_the_provider_gets_a_hash_for_each_person(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        for order in (
            an_order(id="1"),
            an_order(id="2"),
            an_order(id="3", caller=a_caller(user="bob")),
            an_order(id="4", safety_identifier="end-user-7"),
        ):
            await house.run(order)

    names = [call.safety_identifier for call in house.backend.calls]
    assert names[0] == names[1]
    assert len(set(names)) == 3
    assert not any("ann" in name or "bob" in name or "end-user" in name for name in names)


@pytest.mark.parametrize(
    ("quality", "estimate_microusd"), [("standard", 1756 * 30 + 20), ("max", 28096 * 30 + 20)]
)
async def test_the_price_is_estimated_before_any_call(
    clock: FakeClock, quality: str, estimate_microusd: int
) -> None:
    async with Assembly(clock) as house:
        await house.run(an_order(parameters={"quality": quality}))

    assert house.book.asks[0].ticket.price.microusd == estimate_microusd
    assert house.book.settlements[0].ticket.price.microusd == estimate_microusd


def a_catalog_with(name: str, **costs: Any) -> Catalog:
    catalog = a_catalog()
    model = catalog.models[name]
    changed = replace(model, costs=replace(model.costs, **costs))
    return replace(catalog, models={**catalog.models, name: changed})


@pytest.mark.parametrize(
    ("policy", "order", "refusal"),
    [
        (Policy(models=("gpt-image-2",)), {}, ModelNotAllowed),
        (Policy(models=("gpt-image-2.6-flare",)), {}, ModelNotAllowed),
        (Policy(max_n=2), {"n": 3}, InvalidOrder),
        (Policy(max_size="1024x1024"), {"parameters": {"size": "1792x1024"}}, InvalidOrder),
        (Policy(max_size="1024x1024"), {"asked_model": "gpt-image-2"}, InvalidOrder),
        (Policy(images_per_day=2), {"n": 3}, InvalidOrder),
        (Policy(images_in_flight=2), {"n": 3}, InvalidOrder),
    ],
)
async def test_a_policy_refuses_an_order_before_any_ask(
    clock: FakeClock, policy: Policy, order: dict[str, Any], refusal: type[GatewayError]
) -> None:
    async with Assembly(clock) as house:
        with pytest.raises(refusal):
            house.start(an_order(caller=a_caller(policy=policy), **order))

    assert house.book.asks == []
    [ended] = house.telemetry.facts
    assert isinstance(ended, OrderEnded)
    assert (ended.outcome, ended.record.begin_s) == ("refused", 0.0)
    assert house.backend.attempts == 0


@pytest.mark.parametrize(
    ("policy", "order"),
    [
        (Policy(models=("dall-e-3",)), {}),
        (Policy(max_n=2), {"n": 2}),
        (Policy(max_size="1792x1024"), {"parameters": {"size": "1024x1792"}}),
        # DALL-E's own default is a square, not what `auto` may become.
        (Policy(max_size="1024x1024"), {}),
        (Policy(max_size="1536x1024"), {"asked_model": "gpt-image-2"}),
    ],
)
async def test_an_order_within_the_policy_is_made(
    clock: FakeClock, policy: Policy, order: dict[str, Any]
) -> None:
    async with Assembly(clock) as house:
        assert error(await house.run(an_order(caller=a_caller(policy=policy), **order))) is None


async def test_every_scope_of_the_caller_is_asked_with_the_key_that_must_be_valid(clock: FakeClock) -> None:
    caller = a_caller(
        team="design",
        key_id="key-1",
        scopes=(
            Scope(name="user", key="ann", policy=Policy(requests_per_min=60)),
            Scope(name="key", key="key-1", policy=Policy()),
            Scope(
                name="team", key="design", policy=Policy(images_per_day=9, budget_per_month_microusd=10**9)
            ),
        ),
    )
    async with Assembly(clock) as house:
        await house.run(an_order(caller=caller))

    [ask], [settlement] = house.book.asks, house.book.settlements
    scopes = (("user", "ann"), ("key", "key-1"), ("team", "design"))
    assert (ask.ticket.caller.key_id, scopes_of(ask.ticket), scopes_of(settlement.ticket)) == (
        "key-1",
        scopes,
        scopes,
    )
    assert ask.ticket.limits == (
        Limit(resource=Resource.REQUESTS, scope="user", key="ann", amount=60),
        Limit(resource=Resource.IMAGES_PER_DAY, scope="team", key="design", amount=9),
        Limit(resource=Resource.BUDGET_PER_MONTH, scope="team", key="design", amount=10**9),
    )
    assert settlement.ticket.limits == ask.ticket.limits


async def test_the_target_model_sets_the_weight_of_an_image(clock: FakeClock) -> None:
    catalog = a_catalog_with("gpt-image-2.6-flare", weights={"high": 4, "default": 2})
    async with Assembly(clock, catalog=catalog) as house:
        for quality in ("hd", "standard"):
            await house.run(an_order(id=quality, parameters={"quality": quality}))
        with pytest.raises(InvalidOrder, match="each counting as 4"):
            house.start(
                an_order(n=2, parameters={"quality": "hd"}, caller=a_caller(policy=Policy(images_per_min=7)))
            )

    assert [ask.ticket.price.weight for ask in house.book.asks] == [4, 2]
    assert [settlement.ticket.price.weight for settlement in house.book.settlements] == [4, 2]


@pytest.mark.parametrize(
    ("budget_microusd", "counts_unpriced", "is_refused"),
    [(0, False, False), (10**9, False, True), (10**9, True, False)],
)
async def test_with_a_budget_an_unknown_price_is_not_free(
    clock: FakeClock, budget_microusd: int, *, counts_unpriced: bool, is_refused: bool
) -> None:
    catalog = a_catalog_with("gpt-image-2.6-flare", price=None)
    order = an_order(caller=a_caller(policy=Policy(budget_per_month_microusd=budget_microusd)))
    async with Assembly(clock, catalog=catalog, counts_unpriced=counts_unpriced) as house:
        if is_refused:
            with pytest.raises(PriceUnknown, match=r"gpt-image-2\.6-flare"):
                house.start(order)
        else:
            assert error(await house.run(order)) is None

    assert [ask.ticket.price.microusd for ask in house.book.asks] == ([] if is_refused else [None])


async def test_a_policy_may_exclude_its_callers_from_the_cache(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        for caches in (True, False):
            await house.run(an_order(id=str(caches), caller=a_caller(policy=Policy(caches=caches))))

    assert [ask.ticket.pool is None for ask in house.book.asks] == [False, True]
    assert house.book.settlements[1].made[0][0] is None


@pytest.mark.parametrize(
    ("default", "own", "scope"),
    [
        ("team", None, "team"),
        ("team", "team", "team"),
        ("team", "user", "user-ann"),
        ("user", None, "user-ann"),
        ("user", "team", "user-ann"),
    ],
)
async def test_the_narrower_of_the_cache_scopes_names_the_pool(
    clock: FakeClock, default: CacheScope, own: CacheScope | None, scope: str
) -> None:
    async with Assembly(clock, pools=Pools(key=name_pool, scope=default)) as house:
        await house.run(an_order(caller=a_caller(policy=Policy(cache_scope=own))))

    [ask] = house.book.asks
    assert str(ask.ticket.pool).split(":")[:2] == ["open", scope]


@pytest.mark.parametrize(
    ("change", "fans_out"),
    [
        ({}, True),
        ({"n": 2}, False),
        ({"asked_model": "dall-e-2"}, False),
        ({"asked_model": "gpt-image-2"}, False),
        ({"is_retry": True}, False),
        ({"idempotency_key": "once"}, False),
        ({"cache": CacheControl(reuse=False)}, False),
        ({"cache": CacheControl(keep=False)}, False),
        ({"cache": CacheControl(only_if_cached=True)}, False),
        ({"cache": CacheControl(max_age_s=60)}, False),
        ({"caller": a_caller(policy=Policy(caches=False))}, False),
        ({"caller": a_caller(policy=Policy(equal_orders="share"))}, False),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
async def test_single_orders_of_models_that_make_one_image_a_call_fan_out(
    clock: FakeClock, change: dict[str, Any], *, fans_out: bool
) -> None:
    async with Assembly(clock) as house:
        house.start(an_order(**change))

    assert [ask.ticket.fans_out for ask in house.book.asks] == [fans_out]


async def test_an_order_asks_for_none_of_the_images_that_went_to_equal_ones(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.script += [a_grant(awaited=(2,), passed_over=(0, 1), equal=3), a_grant(mine=(2,))]
        running = house.start(an_order())
        await until_idle()
        house.room.wake(pool_of(house), 2)
        facts = await read(running)

    assert [(ask.round, ask.used) for ask in house.book.asks] == [(0, ()), (1, (0, 1))]
    assert of(Admitted, facts)[0].equal == 3
    assert error(facts) is None
