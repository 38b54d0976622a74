"""Keys, policies, teams and the audit are read back from Redis, and every change is announced."""

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from service.adapters.redis.accounts import RedisCallers
from service.adapters.redis.client.client import open_client
from service.domain.callers import ApiKey, Policy, Role, Team
from service.domain.errors import PermissionDenied, StateUnavailable, Unauthenticated
from service.ports.audit import AuditEntry
from tests.adapters.redis.orders import make_ask, open_book, read_hash

KEY = ApiKey(
    id="key_1",
    team="shop",
    user="anna",
    role=Role.SERVICE,
    hint="ig_abcd…wxyz",
    created_s=5,
    policy="careful",
)
FULL = Policy(
    name="careful",
    requests_per_min=1,
    images_per_min=2,
    images_per_day=3,
    images_in_flight=4,
    budget_per_month_microusd=5,
    models=("dall-e-3", "gpt-image-2"),
    max_n=6,
    max_size="1024x1024",
    caches=False,
    cache_scope="user",
    equal_orders="share",
)


@pytest.fixture
def callers(redis: Redis) -> RedisCallers:
    return RedisCallers(redis, timeout_s=20.0)


async def test_a_key_is_found_by_the_hash_of_its_token(callers: RedisCallers) -> None:
    await callers.add_key(KEY, "hash")

    assert await callers.find_key("hash") == KEY
    assert await callers.find_key("other") is None


async def test_keys_are_listed_by_age_and_by_team(callers: RedisCallers) -> None:
    older = replace(KEY, id="key_0", created_s=4, expires_s=99, policy=None)
    for key in (KEY, older, replace(KEY, id="key_2", team="lab")):
        await callers.add_key(key, f"hash of {key.id}")
    await callers.put_team(Team(name="shop", is_closed=True))

    assert await callers.list_keys("shop") == [older, KEY]
    assert await callers.list_keys("nobody") == []


async def test_a_revoked_key_is_gone_everywhere(callers: RedisCallers, redis: Redis) -> None:
    await callers.add_key(KEY, "hash")
    ask = make_ask(pool=None, team="shop", key_id=KEY.id)
    await open_book(redis).begin(ask)

    assert await callers.revoke_key("shop", KEY.id) == KEY
    assert await callers.revoke_key("shop", KEY.id) is None
    assert await callers.find_key("hash") is None
    with pytest.raises(Unauthenticated):
        await open_book(redis).begin(ask)


async def test_a_full_redis_takes_what_an_admin_withdraws(callers: RedisCallers, redis: Redis) -> None:
    """A leaked key must be revoked at once, and its act noted, whatever else is refused."""
    entry = AuditEntry(at_s=1, who="bootstrap", act="revoke_key", target="shop/key_1")
    await callers.add_key(KEY, "hash")
    before = await callers.revision()
    await redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(StateUnavailable):
            await callers.add_key(replace(KEY, id="key_2"), "another hash")

        await callers.note(entry)
        assert await callers.revoke_key("shop", KEY.id) == KEY
        assert await callers.revision() > before
        assert (await callers.read_audit(1)) == [entry]
    finally:
        await redis.config_set("maxmemory", "0")


async def test_the_closed_mark_is_no_key_and_cannot_be_revoked(callers: RedisCallers, redis: Redis) -> None:
    await callers.put_team(Team(name="shop", is_closed=True))

    assert await callers.revoke_key("shop", "closed") is None
    with pytest.raises(PermissionDenied):
        await open_book(redis).begin(make_ask(pool=None, team="shop"))
    await callers.put_team(Team(name="shop"))
    assert (await open_book(redis).begin(make_ask(pool=None, team="shop"))).mine == (0,)


async def test_policies_and_teams_are_read_back_unchanged(callers: RedisCallers) -> None:
    team = Team(name="shop", policy="careful", user_policy="plain", is_closed=True)
    await callers.put_policy(FULL)
    await callers.put_policy(Policy(name="plain"))
    await callers.put_team(team)

    directory = await callers.read_directory()

    assert directory.policies == {"careful": FULL, "plain": Policy(name="plain")}
    assert directory.teams == {"shop": team}
    assert [await callers.remove_policy("plain"), await callers.remove_policy("plain")] == [True, False]


async def test_every_change_raises_the_revision(callers: RedisCallers) -> None:
    revisions = [await callers.revision()]
    for change in (
        callers.put_policy(FULL),
        callers.put_team(Team(name="shop")),
        callers.add_key(KEY, "hash"),
        callers.revoke_key("shop", KEY.id),
        callers.remove_policy("careful"),
    ):
        await change
        revisions.append(await callers.revision())

    assert revisions[0] == 0
    assert sorted(set(revisions)) == revisions


async def test_the_audit_is_read_from_its_end(callers: RedisCallers) -> None:
    entries = [
        AuditEntry(at_s=number, who="bootstrap", act="put_team", target=f"team-{number}")
        for number in range(5)
    ]
    for entry in entries:
        await callers.note(entry)

    assert await callers.read_audit(3) == [entries[4], entries[3], entries[2]]


async def test_without_redis_no_answer_is_guessed() -> None:
    client = open_client("redis://127.0.0.1:1", timeout_s=0.5, connections=1)
    callers = RedisCallers(client, timeout_s=0.5)

    with pytest.raises(StateUnavailable):
        await callers.find_key("hash")
    with pytest.raises(StateUnavailable):
        await callers.note(AuditEntry(at_s=1, who="x", act="y", target="z"))

    await client.aclose()


async def test_an_entry_of_another_version_spoils_no_other(redis: Redis) -> None:
    book = RedisCallers(redis, timeout_s=20.0)
    await book.put_policy(Policy(name="good", max_n=2))
    await book.put_policy(Policy(name="newer", max_n=3))
    newer = (await read_hash(redis, "ig:1:{directory}:policies"))["newer"]
    newer = newer.replace("{", '{"unheard_of":1,', 1)
    await redis.hset("ig:1:{directory}:policies", mapping={"newer": newer, "bad": "no json", "odd": "[]"})
    await redis.hset("ig:1:{directory}:teams", "bad", '{"name": 1')

    directory = await book.read_directory()

    assert {name: policy.max_n for name, policy in directory.policies.items()} == {"good": 2, "newer": 3}
    assert directory.teams == {}


async def test_revoking_again_raises_the_revision_again(redis: Redis) -> None:
    """The first attempt may have removed the key without announcing it."""
    book = RedisCallers(redis, timeout_s=20.0)
    before = await book.revision()

    assert await book.revoke_key("shop", "key_gone") is None

    assert await book.revision() > before


async def test_a_team_that_the_file_declares_is_reopened(redis: Redis) -> None:
    book = RedisCallers(redis, timeout_s=20.0)
    await book.put_team(Team(name="shop", is_closed=True))

    await book.reopen(["shop"])

    assert (await open_book(redis).begin(make_ask(team="shop", pool=None))).mine
