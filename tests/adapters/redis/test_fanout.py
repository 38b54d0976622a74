"""Equal orders that a caller sends at once get different images, as the rule in Python says."""

import random
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest
from redis.asyncio import Redis

from service.adapters.redis.keys import of_team, pool_key
from service.adapters.redis.orders import RedisOrders
from service.domain.errors import RateLimited
from service.domain.fanout_window import MOST_DIFFERENT, FanoutWindow
from service.ports.admission import Ask, Grant
from tests.adapters.redis.orders import (
    FANOUT_WINDOW_MS,
    IMAGES,
    POOL,
    TEAM,
    fill,
    made,
    make_ask,
    make_image,
    names_of,
    settle,
    snapshot,
)
from tests.oracles import numbers


def single(**changes: object) -> Ask:
    """Return an ask of an order that may be one of several at once."""
    return make_ask(**{"fans_out": True, **changes})


async def begin(book: RedisOrders, times: int, **changes: object) -> list[Grant]:
    return [await book.begin(single(**changes)) for _ in range(times)]


def index_of(grant: Grant) -> int:
    """Return the one index that *grant* gave."""
    [index] = [*(variant.index for variant in grant.ready), *grant.awaited, *grant.mine]
    return index


def window_key(user: str = "u1", pool: str = POOL) -> str:
    return of_team(TEAM).fanout(user, pool)


async def test_each_makes_an_image_of_its_own(book: RedisOrders) -> None:
    grants = await begin(book, 3)

    assert [grant.mine for grant in grants] == [(0,), (1,), (2,)]
    assert [grant.equal for grant in grants] == [1, 2, 3]
    assert [grant.passed_over for grant in grants] == [(), (0,), (1, 0)]


async def test_ten_are_made_and_then_shared(book: RedisOrders) -> None:
    first = await begin(book, MOST_DIFFERENT)
    then = await begin(book, 12)

    assert [grant.mine for grant in first] == [(index,) for index in range(10)]
    assert [grant.awaited for grant in then] == [(index % 10,) for index in range(12)]
    assert {grant.passed_over for grant in then} == {()}


async def test_shared_images_that_exist_come_before_those_being_made(book: RedisOrders) -> None:
    asks = [single() for _ in range(MOST_DIFFERENT)]
    for ask in asks:
        await book.begin(ask)
    for index in (3, 7):
        await book.finish(settle(asks[index], made=made((index, f"{index}"))))

    grants = await begin(book, 4)

    assert [index_of(grant) for grant in grants] == [3, 7, 3, 7]
    assert all(grant.ready for grant in grants)


async def test_after_a_hit_what_exists_is_shared_in_turn(book: RedisOrders) -> None:
    await fill(book, "a", "b", "c")
    await book.begin(make_ask(fresh=True))  # a claim, which would be slower

    grants = await begin(book, 7)

    assert [[variant.index for variant in grant.ready] for grant in grants] == [
        [index] for index in (0, 1, 2, 0, 1, 2, 0)
    ]


async def test_a_hot_image_stays_one(book: RedisOrders, redis: Redis) -> None:
    await fill(book, "hot")

    grants = await begin(book, 300)

    assert {index_of(grant) for grant in grants} == {0}
    assert grants[-1].equal == 300
    assert await redis.hlen(POOL) == 1


async def test_an_image_that_another_caller_makes_is_the_first(book: RedisOrders) -> None:
    await begin(book, 1, user="another")

    grants = await begin(book, 3)

    assert [(grant.awaited, grant.mine) for grant in grants] == [((0,), ()), ((), (1,)), ((), (2,))]


async def test_images_made_meanwhile_for_others_are_not_made_again(book: RedisOrders) -> None:
    await begin(book, 1)
    await fill(book, "theirs")

    grants = await begin(book, 2)

    assert [(len(grant.ready), grant.mine) for grant in grants] == [(1, ()), (0, (2,))]


async def test_a_failed_image_is_not_made_again_for_the_next(book: RedisOrders) -> None:
    ask = single()
    await book.begin(ask)
    await book.finish(settle(ask, released=(0,)))

    assert (await book.begin(single())).mine == (1,)


@pytest.mark.parametrize(
    "other",
    [
        {"user": "u2"},
        {"pool": pool_key(TEAM, "team", "e" * 32)},
        {"team": "t2", "pool": pool_key("t2", "team", "f" * 32)},
    ],
    ids=["user", "pool", "team"],
)
async def test_each_caller_and_order_has_its_own_window(book: RedisOrders, other: dict[str, str]) -> None:
    await begin(book, 2)

    grant = await book.begin(single(**other))

    assert grant.equal == 1
    assert index_of(grant) == 0


async def test_other_orders_neither_see_nor_move_a_window(book: RedisOrders, redis: Redis) -> None:
    await begin(book, 2)
    window = await redis.get(window_key())

    plain = await book.begin(make_ask(n=1))
    later = await book.begin(single(round=1))
    several = await book.begin(make_ask(n=3))

    assert (plain.awaited, later.awaited, several.awaited) == ((0,), (0,), (0, 1))
    assert [grant.equal for grant in (plain, later, several)] == [0, 0, 0]
    assert await redis.get(window_key()) == window


async def test_a_window_ends_a_fixed_time_after_its_first_order(book: RedisOrders, redis: Redis) -> None:
    await begin(book, 1)
    await redis.pexpire(window_key(), FANOUT_WINDOW_MS // 2)  # half of it has passed
    await begin(book, 1)
    left_ms = await redis.pttl(window_key())
    await redis.delete(window_key())

    after = await book.begin(single())

    assert 0 < left_ms <= FANOUT_WINDOW_MS // 2
    assert (after.awaited, after.equal) == ((0,), 1)


async def test_without_windows_equal_orders_share(redis: Redis, client: Redis) -> None:
    book = RedisOrders(client, timeout_s=20, lease_s=30, ttl_s=86400, process="here", fanout_window_ms=0)

    grants = await begin(book, 3)

    assert [(grant.mine, grant.awaited) for grant in grants] == [((0,), ()), ((), (0,)), ((), (0,))]
    assert not [name for name in await names_of(redis) if ":fanout:" in name]


async def test_a_refused_order_leaves_the_window_alone(book: RedisOrders, redis: Redis) -> None:
    tight = replace(IMAGES, amount=1)
    await begin(book, 1, limits=(tight,))
    before = await snapshot(redis)

    with pytest.raises(RateLimited):
        await book.begin(single(limits=(tight,)))

    assert await snapshot(redis) == before


@pytest.mark.parametrize("found", ["mine", "awaited", "ready"])
async def test_the_same_ask_sent_twice_gets_the_same_image(book: RedisOrders, found: str) -> None:
    if found == "awaited":
        await begin(book, 1, user="another")
    elif found == "ready":
        await fill(book, "a", "b")
    ask = single()

    first, second = await book.begin(ask), await book.begin(ask)
    third = await book.begin(single())

    assert index_of(first) == index_of(second) == 0
    assert getattr(first, found)
    assert getattr(second, found)
    assert (first.equal, second.equal, third.equal) == (1, 1, 2)
    assert index_of(third) == 1


async def test_an_image_ready_in_a_window_that_makes_is_no_reason_to_make_another(book: RedisOrders) -> None:
    """Its answer was lost: the ask that is sent again finds what it got."""
    await begin(book, 1)
    await fill(book, "theirs")
    ask = single()

    first, second = await book.begin(ask), await book.begin(ask)

    assert index_of(first) == index_of(second) == 1
    assert (first.mine, second.mine) == ((), ())


@dataclass(slots=True)
class Model:
    """One pool, and the windows of its callers, in Python: indices with the time of an image, or None for a claim."""

    entries: dict[int, int | None] = field(default_factory=dict)
    windows: dict[str, FanoutWindow] = field(default_factory=dict)
    now: int = 0

    def begin(self, ask: Ask) -> tuple[list[int], list[int], list[int]]:
        """Return the indices that are ready, awaited and to be made."""
        ready = sorted((at, index) for index, at in self.entries.items() if at is not None)
        claimed = sorted(index for index, at in self.entries.items() if at is None)
        if not ask.ticket.fans_out:
            found = sorted(index for _, index in ready[: ask.n])
            awaited = claimed[: ask.n - len(found)]
            return found, awaited, self.claim(ask.n - len(found) - len(awaited), ())
        window = self.windows.get(ask.ticket.caller.user, FanoutWindow())
        index = window.choose([index for _, index in ready], claimed)
        mine = self.claim(1, window.passed_over) if index is None else []
        given = mine[0] if index is None else index
        was_ready = self.entries[given] is not None
        self.windows[ask.ticket.caller.user] = window.after(given, was_ready=was_ready)
        return ([given], [], []) if was_ready else ([], [], mine) if mine else ([], [given], [])

    def claim(self, n: int, passed_over: tuple[int, ...]) -> list[int]:
        free = (index for index in range(1000) if index not in self.entries and index not in passed_over)
        claimed = [next(free) for _ in range(n)]
        self.entries |= dict.fromkeys(claimed)
        return claimed


@pytest.mark.parametrize("seed", numbers(4, all_=40))
async def test_windows_follow_the_rule(book: RedisOrders, redis: Redis, seed: int) -> None:
    """Orders of three callers begin, some twice, are finished and fail, and windows end, in any order."""
    dice = random.Random(seed)
    seen: Counter[str] = Counter()
    for _ in range(8):
        await redis.flushall()
        await play(book, redis, dice, seen)

    assert min(seen["ready"], seen["awaited"], seen["mine"], seen["shared"]) > 5, seen


async def play(book: RedisOrders, redis: Redis, dice: random.Random, seen: Counter[str]) -> None:
    model, running = Model(), list[tuple[Ask, list[int]]]()
    callers = ("u1", "u2", "u3")[: dice.randint(1, 3)]
    fails = dice.random() * 0.6
    for step in range(60):
        what = dice.random()
        if what < 0.6 or not running:
            fans_out = dice.random() < 0.8
            n = 1 if fans_out else dice.randint(1, 3)
            ask = make_ask(user=dice.choice(callers), fans_out=fans_out, n=n)
            mine = await compare(book, model, ask, dice.choice((1, 1, 1, 2)), seen)
            if mine:
                running.append((ask, mine))
        elif what < 0.95:
            ask, indices = running.pop(dice.randrange(len(running)))
            if dice.random() < fails:
                await book.finish(settle(ask, released=tuple(indices)))
                for index in indices:
                    del model.entries[index]
            else:
                images = tuple((index, make_image(f"{step} {index}")) for index in indices)
                await book.finish(settle(ask, made=images))
                model.entries |= dict.fromkeys(indices, step)
        elif model.windows:
            user = dice.choice(list(model.windows))
            del model.windows[user]
            assert await redis.delete(window_key(user)) == 1
    names = await names_of(redis)
    assert all(name.startswith(of_team(TEAM).prefix) or "{directory}" in name for name in names)


async def compare(book: RedisOrders, model: Model, ask: Ask, times: int, seen: Counter[str]) -> list[int]:
    """Send *ask* as often as said, and expect what the model says; returns the indices to make."""
    window = model.windows.get(ask.ticket.caller.user, FanoutWindow()) if ask.ticket.fans_out else None
    expected = model.begin(ask)
    for _ in range(times):
        grant = await book.begin(ask)
        got = ([variant.index for variant in grant.ready], list(grant.awaited), list(grant.mine))
        assert got == expected
        assert grant.equal == (window.orders + 1 if window else 0)
        assert sorted(grant.passed_over) == sorted(window.passed_over if window else ())
    seen.update(name for name, given in zip(("ready", "awaited", "mine"), expected, strict=True) if given)
    seen["shared"] += window is not None and window.shares
    return expected[2]
