"""Values for tests of the order book, and what those tests read from Redis behind its back.

Owns valid asks, images and settlements with every field overridable, and the few
things only the store itself can tell: the ledger, the holds, and time that has passed.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from hashlib import sha256
from itertools import count
from typing import Any, Protocol, cast

import orjson
from redis.asyncio import Redis

from service.adapters.redis.keys import of_team, pool_key
from service.adapters.redis.orders import RedisOrders
from service.domain.errors import StateUnavailable
from service.domain.images import Image, Realm
from service.domain.limits import Limit, Resource
from service.ports.admission import Ask, Settlement
from tests.fakes.values import an_ask

TEAM = "t1"
POOL = pool_key(TEAM, "team", "f" * 32)
SCOPE = ("user", "u1")
REQUESTS = Limit(resource=Resource.REQUESTS, scope="user", key="u1", amount=60)
IMAGES = Limit(resource=Resource.IMAGES, scope="user", key="u1", amount=60)
ESTIMATE_MICROUSD = 5_000
FANOUT_WINDOW_MS = 60_000
"""No window ends by itself in a test."""

_orders = count(1)


class MakeBook(Protocol):
    """Opens the orders of a process; omitted options are the gateway's."""

    def __call__(self, *, process: str = ..., lease_s: float = ..., ttl_s: float = ...) -> RedisOrders: ...


def open_book(
    client: Redis,
    *,
    process: str = "here",
    timeout_s: float = 20.0,
    lease_s: float = 30.0,
    ttl_s: float = 86400.0,
) -> RedisOrders:
    """Return a book over *client*, patient enough for a busy machine."""
    return RedisOrders(
        client,
        timeout_s=timeout_s,
        lease_s=lease_s,
        ttl_s=ttl_s,
        process=process,
        fanout_window_ms=FANOUT_WINDOW_MS,
    )


def make_ask(**changes: Any) -> Ask:
    """Return an ask of an order of its own: one image of `POOL`, no limits."""
    limits = changes.get("limits", ())
    given = {
        "id": f"order-{next(_orders)}",
        "team": TEAM,
        "user": "u1",
        "model": "gpt-image-2",
        "realm": Realm.LIVE,
        "pool": POOL,
        "estimate_microusd": ESTIMATE_MICROUSD,
        "scopes": tuple(dict.fromkeys([SCOPE, *((limit.scope, limit.key) for limit in limits)])),
    }
    return an_ask(**{**given, **changes})


def under_id(ask: Ask, order_id: str) -> Ask:
    """Return the same ask of another order."""
    return replace(ask, ticket=replace(ask.ticket, id=order_id), fence=f"{order_id}.{ask.round}")


def limits_key(scope: tuple[str, str]) -> str:
    """Name the limits of a scope of `TEAM`."""
    return f"{of_team(TEAM).prefix}limits:{scope[0]}:{scope[1]}"


def make_image(name: str = "a", *, cost_microusd: int | None = 4_000) -> Image:
    """Return an image whose digest stands for *name*."""
    return Image(
        digest=sha256(name.encode()).hexdigest(),
        format="png",
        width=1024,
        height=1024,
        size_bytes=1000,
        created_s=1_800_000_000,
        revised_prompt="naïve “quotes” | pipes",
        usage={"total_tokens": 7},
        resolved={"quality": "high"},
        cost_microusd=cost_microusd,
    )


def settle(ask: Ask, *, part: str = "0.0", **changes: Any) -> Settlement:
    """Return a settlement of *ask* in which nothing became of anything; *changes* may be its ticket's, too."""
    ticket = {name: changes.pop(name) for name in ("origin", "idempotency") if name in changes}
    given = {"ticket": replace(ask.ticket, **ticket), "part": part, "fence": ask.fence}
    return Settlement(**{**given, **changes})


def made(*names_by_index: tuple[int | None, str]) -> tuple[tuple[int | None, Image], ...]:
    """Return a value for `Settlement.made`."""
    return tuple((index, make_image(name)) for index, name in names_by_index)


async def fill(book: RedisOrders, *names: str, pool: str = POOL, team: str = TEAM) -> None:
    """Publish one image a name under the lowest free indices of *pool*."""
    ask = make_ask(n=len(names), fresh=True, pool=pool, team=team)
    grant = await book.begin(ask)
    await book.finish(settle(ask, made=made(*zip(grant.mine, names, strict=True))))


async def read_ledger(client: Redis, team: str = TEAM) -> Counter[str]:
    """Return the sums over all days, labels and users by `<outcome>|<unit>`, zeros left out."""
    sums: Counter[str] = Counter()
    for key in await _answer(client.keys(f"ig:1:{{{team}}}:ledger:*")):
        for label, value in (await _answer(client.hgetall(key))).items():
            sums["|".join(label.decode().split("|")[-2:])] += int(value)
    return Counter({label: value for label, value in sums.items() if value})


async def read_holds(client: Redis, team: str = TEAM) -> dict[str, dict[str, Any]]:
    """Return the holds by fence; both halves of the record must agree."""
    expiries = await _answer(client.zrange(of_team(team).holds, 0, -1))
    details = await _answer(client.hgetall(of_team(team).hold_details))
    assert set(expiries) == set(details)
    return {fence.decode(): orjson.loads(text) for fence, text in details.items()}


async def read_hash(client: Redis, name: str) -> dict[str, str]:
    """Return a hash as text."""
    fields: dict[bytes, bytes] = await _answer(client.hgetall(name))
    return {field.decode(): value.decode() for field, value in fields.items()}


async def names_of(client: Redis) -> list[str]:
    """Return the names of all keys."""
    return sorted(name.decode() for name in await _answer(client.keys("*")))


async def snapshot(client: Redis) -> dict[str, bytes]:
    """Return every key with a serialised form of its value."""
    return {name: await _answer(client.dump(name)) for name in await names_of(client)}


async def expire_claims(client: Redis, pool: str = POOL) -> None:
    """Let the lease of every claim in *pool* be over."""
    await witness(client, pool.partition("{")[2].partition("}")[0])
    await _rewrite(client, pool, b"c", lambda _: 1)


async def age_variants(client: Redis, by_s: float, pool: str = POOL) -> None:
    """Make every variant of *pool* older."""
    await _rewrite(client, pool, b"v", lambda created_us: created_us - int(by_s * 1e6))


async def expire_holds(client: Redis, team: str = TEAM) -> None:
    """Let the lease of every hold be over."""
    await witness(client, team)
    for fence in await _answer(client.zrange(of_team(team).holds, 0, -1)):
        await client.zadd(of_team(team).holds, {fence: 1})


async def pass_time(client: Redis, seconds: float, team: str = TEAM, pool: str = POOL) -> None:
    """Move every instant of a team's leases back, as if it were *seconds* later."""
    by_us = int(seconds * 1e6)
    for fence in await _answer(client.zrange(of_team(team).holds, 0, -1)):
        await client.zincrby(of_team(team).holds, -by_us, fence)
    await _rewrite(client, pool, b"c", lambda expires_us: expires_us - by_us)
    for name in await _answer(client.hkeys(of_team(team).pulse)):
        await _answer(client.hincrby(of_team(team).pulse, name, -by_us))


async def witness(client: Redis, team: str = TEAM) -> None:
    """Let other processes have renewed their leases all the while."""
    await _answer(client.hset(of_team(team).pulse, mapping={"since": 1, "last": 4 * 10**15}))


async def reason_of(awaitable: Awaitable[object]) -> str:
    """Return why the state was unavailable."""
    try:
        await awaitable
    except StateUnavailable as error:
        return error.reason
    raise AssertionError("the state was available")


async def _rewrite(client: Redis, pool: str, kind: bytes, change: Callable[[int], int]) -> None:
    for index, entry in (await _answer(client.hgetall(pool))).items():
        found, at_us, rest = entry.split(b"|", 2)
        if found == kind:
            await _answer(client.hset(pool, index, b"|".join((kind, b"%d" % change(int(at_us)), rest))))


async def _answer(answer: object) -> Any:
    # redis-py types one method for its blocking and its asynchronous client at once.
    return await cast("Awaitable[Any]", answer)
