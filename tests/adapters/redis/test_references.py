"""References on a real Valkey: settling adds them, forgetting removes them and all variants of the image."""

import dataclasses
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any, cast

import orjson
import pytest
from redis.asyncio import Redis

from service.adapters.clock import SystemClock
from service.adapters.redis import keys
from service.adapters.redis.client.client import open_client
from service.adapters.redis.keys import pool_key
from service.adapters.redis.orders import RedisOrders
from service.adapters.redis.references import RedisReferences
from service.domain.errors import StateUnavailable
from service.domain.images import ContentCredentials, Image, Operation
from service.domain.order import Origin
from service.ports.references import Reference
from tests.adapters.redis.orders import (
    POOL,
    TEAM,
    fill,
    made,
    make_ask,
    make_image,
    names_of,
    read_hash,
    reason_of,
    settle,
)
from tests.fakes.values import a_reference

REFERENCE = a_reference("another")
ORIGIN = Origin(asked_model="dall-e-3", operation=Operation.EDIT, fingerprint="f" * 32, parents=("a1", "b2"))
OTHER_POOL = pool_key(TEAM, "user-u1", "e" * 32)


@pytest.fixture
def references(redis: Redis) -> RedisReferences:
    return RedisReferences(redis, clock=SystemClock(), timeout_s=20.0)


def name_of(name: str) -> str:
    return make_image(name).name


async def make(
    book: RedisOrders, *names: str, team: str = TEAM, pool: str | None = POOL, **origin: Any
) -> None:
    """Order and settle one image a name."""
    ask = make_ask(n=len(names), fresh=True, pool=pool, team=team)
    grant = await book.begin(ask)
    origin = {
        "asked_model": "dall-e-3",
        "operation": Operation.GENERATE,
        "fingerprint": "f" * 32,
        **origin,
    }
    images = made(*zip(grant.mine if pool else [None] * len(names), names, strict=True))
    images = tuple((index, replace(image, backend="azure")) for index, image in images)
    await book.finish(settle(ask, made=images, origin=Origin(**origin)))


async def ready(book: RedisOrders, pool: str = POOL, team: str = TEAM) -> set[str]:
    """Return the names a later order would be given."""
    grant = await book.begin(make_ask(n=20, only_ready=True, pool=pool, team=team))
    return {variant.image.name for variant in grant.ready}


async def all_of(references: RedisReferences, team: str = TEAM) -> dict[str, Reference]:
    return {reference.name: reference async for reference in references.scan(team)}


async def test_a_reference_has_the_origin_of_the_image(
    book: RedisOrders, references: RedisReferences
) -> None:
    image = replace(make_image("a"), backend="azure", sent_model="gpt-image-1")
    ask = make_ask()
    await book.begin(ask)
    await book.finish(settle(ask, made=((0, image),), origin=ORIGIN))

    reference = await references.find(TEAM, image.name)

    assert reference == Reference(
        name=image.name,
        team=TEAM,
        user="u1",
        asked_model="dall-e-3",
        sent_model="gpt-image-1",
        answered_model=None,
        realm="live",
        operation="edit",
        fingerprint="f" * 32,
        parents=("a1", "b2"),
        credentials=ContentCredentials.NONE,
        created_s=image.created_s,
        size_bytes=1000,
        width=1024,
        height=1024,
        cost_microusd=4_000,
        is_brief=False,
        backend="azure",
    )
    assert await references.has(TEAM, image.name)


@pytest.mark.parametrize(
    ("answered", "backend", "written"),
    [
        (None, "", None),
        ("gpt-image-2", "", "gpt-image-2"),
        (None, "azure", "|@azure"),
        ("gpt-image-2", "azure", "gpt-image-2|@azure"),
    ],
    ids=["neither", "model", "backend", "both"],
)
async def test_earlier_versions_can_read_what_names_its_backend(
    book: RedisOrders,
    references: RedisReferences,
    redis: Redis,
    answered: str | None,
    backend: str,
    written: str | None,
) -> None:
    """They refuse a reference or a variant with a field more."""
    image = replace(
        make_image("a"), answered_model=answered, backend=backend, sent_model="gpt-image-2.6-flare"
    )
    ask = make_ask()
    await book.begin(ask)
    await book.finish(settle(ask, made=((0, image),), origin=ORIGIN))

    found = await references.find(TEAM, image.name)
    assert found is not None
    assert (found.answered_model, found.backend) == (answered, backend)
    fields = orjson.loads((await read_hash(redis, keys.of_team(TEAM).images))[image.name])
    (variant,) = (await read_hash(redis, POOL)).values()
    assert fields["answered_model"] == written
    assert fields.keys() == {field.name for field in dataclasses.fields(Reference)} - {
        "name",
        "team",
        "backend",
    }
    assert {"backend", "sent_model"}.isdisjoint(orjson.loads(variant.split("|", 2)[2]))


async def test_bytes_that_are_made_again_have_the_backend_of_their_reference(
    book: RedisOrders, references: RedisReferences
) -> None:
    for number, (backend, is_brief, expected) in enumerate(
        (("azure", True, "azure"), ("own", True, "azure"), ("own", False, "own"), ("", False, ""))
    ):
        ask = make_ask(pool=None)
        await book.begin(ask)
        image = replace(make_image("a"), backend=backend)
        await book.finish(
            settle(ask, part=f"0.{number}", made=((None, image),), origin=replace(ORIGIN, is_brief=is_brief))
        )

        assert (await references.find(TEAM, name_of("a")) or REFERENCE).backend == expected


async def test_no_other_team_has_the_image(book: RedisOrders, references: RedisReferences) -> None:
    await make(book, "a")

    assert not await references.has("t2", name_of("a"))
    assert await references.find("t2", name_of("a")) is None
    assert await references.existing("t2", [name_of("a")]) == set()


async def test_a_forgotten_image_is_not_granted_again(
    book: RedisOrders, references: RedisReferences, redis: Redis
) -> None:
    await make(book, "a", "b")

    assert await references.forget(TEAM, name_of("a"))

    assert not await references.has(TEAM, name_of("a"))
    assert await ready(book) == {name_of("b")}
    assert await references.totals(TEAM) == (1, 1000)
    assert await references.oldest(TEAM, before_s=4e9, most=9) == [name_of("b")]
    assert set(await all_of(references)) == {name_of("b")}
    assert await references.variants(TEAM, [name_of("a"), name_of("b")]) == 1
    fields = await cast("Awaitable[Any]", redis.hkeys(keys.of_team(TEAM).images))
    assert not any(field.decode().startswith(name_of("a")) for field in fields)


async def test_forgetting_twice_changes_nothing(book: RedisOrders, references: RedisReferences) -> None:
    await make(book, "a", "b")
    await references.forget(TEAM, name_of("a"))

    assert not await references.forget(TEAM, name_of("a"))

    assert await references.totals(TEAM) == (1, 1000)


async def test_an_image_is_removed_from_every_pool_of_the_team(
    book: RedisOrders, references: RedisReferences
) -> None:
    await make(book, "a")
    await make(book, "a", pool=OTHER_POOL)
    assert await references.variants(TEAM, [name_of("a")]) == 2

    await references.forget(TEAM, name_of("a"))

    assert await ready(book) == set()
    assert await ready(book, OTHER_POOL) == set()
    assert await references.totals(TEAM) == (0, 0)


async def test_an_image_made_again_under_its_index_is_there_once(book: RedisOrders, redis: Redis) -> None:
    """One whose bytes are lost again and again must not be followed by an ever longer list."""
    for _ in range(3):
        await make(book, "a")
        await book.finish(settle(make_ask(), forgotten=((0, make_image("a").digest),)))
    await make(book, "a", pool=OTHER_POOL)

    places = await cast("Awaitable[bytes]", redis.hget(keys.of_team(TEAM).images, f"{name_of('a')}|pools"))
    assert places.decode().splitlines() == [f"{POOL} 0", f"{OTHER_POOL} 0"]


async def test_an_image_that_took_its_index_stays(
    book: RedisOrders, references: RedisReferences, redis: Redis
) -> None:
    await make(book, "a")
    await redis.delete(POOL)
    await make(book, "b")
    assert await references.variants(TEAM, [name_of("a")]) == 0

    await references.forget(TEAM, name_of("a"))

    assert await ready(book) == {name_of("b")}


async def test_a_claim_under_its_index_stays(
    book: RedisOrders, references: RedisReferences, redis: Redis
) -> None:
    await make(book, "a")
    await redis.delete(POOL)
    claim = make_ask()
    assert (await book.begin(claim)).mine == (0,)

    await references.forget(TEAM, name_of("a"))
    await book.finish(settle(claim, made=made((0, "b"))))

    assert await ready(book) == {name_of("b")}


async def test_the_same_bytes_of_another_team_stay(book: RedisOrders, references: RedisReferences) -> None:
    theirs = pool_key("t2", "team", "f" * 32)
    await make(book, "a")
    await make(book, "a", team="t2", pool=theirs)

    await references.forget(TEAM, name_of("a"))

    assert await references.has("t2", name_of("a"))
    assert await ready(book, theirs, "t2") == {name_of("a")}


async def test_a_forgotten_image_may_be_made_again(book: RedisOrders, references: RedisReferences) -> None:
    await make(book, "a")
    await references.forget(TEAM, name_of("a"))

    await make(book, "a")

    assert await ready(book) == {name_of("a")}
    assert await references.totals(TEAM) == (1, 1000)


async def test_a_reference_published_meanwhile_is_forgotten_completely(
    book: RedisOrders, redis: Redis
) -> None:
    """Between reading its pools and forgetting it, an order publishes it in another one."""
    await make(book, "a")

    class Interrupted(RedisReferences):
        is_first = True

        async def _pools(self, team: str, name: str) -> str:
            pools = await super()._pools(team, name)
            if self.is_first:
                self.is_first = False
                await make(book, "a", pool=OTHER_POOL)
            return pools

    references = Interrupted(redis, clock=SystemClock(), timeout_s=20.0)

    assert await references.forget(TEAM, name_of("a"))

    assert await ready(book, OTHER_POOL) == set()
    assert await ready(book) == set()


async def test_an_image_that_is_always_republished_is_contended(book: RedisOrders, redis: Redis) -> None:
    """The server works, but orders interfere, which has a reason of its own."""
    await make(book, "a")

    class Contended(RedisReferences):
        tries = 0

        async def _pools(self, team: str, name: str) -> str:
            pools = await super()._pools(team, name)
            self.tries += 1
            await make(book, "a", pool=pool_key(TEAM, f"user-{self.tries}", "e" * 32))
            return pools

    references = Contended(redis, clock=SystemClock(), timeout_s=20.0)

    assert await reason_of(references.forget(TEAM, name_of("a"))) == "contended"
    assert await references.has(TEAM, name_of("a"))


async def test_the_oldest_references_come_first_and_brief_ones_separately(
    book: RedisOrders, references: RedisReferences, redis: Redis
) -> None:
    await make(book, "a", "b", "c")
    await make(book, "short", pool=None, is_brief=True)
    ages: dict[str | bytes, float] = {name_of("b"): 100, name_of("a"): 200, name_of("c"): 300}
    await redis.zadd(keys.of_team(TEAM).kept_ages, cast("Any", ages))

    assert await references.oldest(TEAM, before_s=300, most=9) == [name_of("b"), name_of("a")]
    assert await references.oldest(TEAM, before_s=301, most=1) == [name_of("b")]
    assert await references.oldest(TEAM, before_s=4e9, most=9, is_brief=True) == [name_of("short")]
    found = await references.find(TEAM, name_of("short"))
    assert found is not None
    assert found.is_brief


async def test_a_brief_reference_is_forgotten_like_any_other(
    book: RedisOrders, references: RedisReferences
) -> None:
    await make(book, "short", pool=None, is_brief=True)

    assert await references.forget(TEAM, name_of("short"))

    assert await references.oldest(TEAM, before_s=4e9, most=9, is_brief=True) == []
    assert await references.totals(TEAM) == (0, 0)


async def test_a_scan_finds_all_of_many(book: RedisOrders, references: RedisReferences) -> None:
    names = [f"image-{number}" for number in range(700)]
    for first in range(0, 700, 100):
        await make(book, *names[first : first + 100])

    found = await all_of(references)

    assert set(found) == {name_of(name) for name in names}
    assert await references.existing(TEAM, [*map(name_of, names), "other.png"]) == set(found)
    # A pool keeps 200 of one fingerprint.
    assert await references.variants(TEAM, list(found)) == 200


async def test_every_team_that_orders_or_settles_is_known(
    book: RedisOrders, references: RedisReferences
) -> None:
    await fill(book, "a")
    late = make_ask(team="t2", pool=pool_key("t2", "team", "f" * 32))
    await book.finish(settle(late, made=made((-1, "b")), released=()))

    assert await references.teams() == ["t1", "t2"]


async def test_an_image_that_lost_a_reference_is_due_until_done(
    book: RedisOrders, references: RedisReferences
) -> None:
    now_s = SystemClock().wall_s()
    await make(book, "a", "b")
    await references.forget(TEAM, name_of("a"))
    await references.forget(TEAM, name_of("b"))

    due = await references.due(now_s=now_s + 60, most=9)
    await references.postpone(name_of("a"), until_s=now_s + 3600)
    await references.done([name_of("b")])

    assert set(due) == {name_of("a"), name_of("b")}
    assert await references.due(now_s=now_s + 60, most=9) == []
    assert await references.due(now_s=now_s + 3600, most=9) == [name_of("a")]


async def test_a_team_without_references_leaves_no_keys(
    book: RedisOrders, references: RedisReferences, redis: Redis
) -> None:
    await make(book, "a")
    await references.forget(TEAM, name_of("a"))

    left = [name for name in await names_of(redis) if f"{{{TEAM}}}" in name]

    assert not any(part in name for name in left for part in (":images", ":ages", ":pool"))


@pytest.mark.parametrize("question", ["has", "find", "forget", "totals", "teams", "due"])
async def test_without_redis_every_question_is_unanswered(question: str) -> None:
    client = open_client("unix:///nowhere/s", timeout_s=0.2, connections=1)
    references = RedisReferences(client, clock=SystemClock(), timeout_s=0.2)
    others: dict[str, dict[str, Any]] = {
        "totals": {"team": TEAM},
        "teams": {},
        "due": {"now_s": 0, "most": 1},
    }
    arguments = others.get(question, {"team": TEAM, "name": "a.png"})

    with pytest.raises(StateUnavailable):
        await getattr(references, question)(**arguments)
    await client.aclose()


def test_names_are_digest_and_format() -> None:
    """The names that `forget.lua` parses."""
    image: Image = make_image("a")

    assert image.name == f"{image.digest}.png"


async def test_an_image_made_for_every_order_is_in_a_bounded_number_of_places(
    book: RedisOrders, references: RedisReferences, redis: Redis
) -> None:
    """A backend may make the same bytes again and again."""
    pools = [pool_key(TEAM, "team", f"{number:032x}") for number in range(203)]
    for pool in pools:
        await fill(book, "same", pool=pool)

    images = await read_hash(redis, keys.of_team(TEAM).images)
    assert images[f"{make_image('same').name}|pools"].count("\n") == 200
    assert [await redis.exists(pool) for pool in pools] == [0] * 3 + [1] * 200
    assert await references.forget(TEAM, make_image("same").name)
    assert not any([await redis.exists(pool) for pool in pools])
