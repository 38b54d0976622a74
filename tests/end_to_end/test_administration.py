"""What admins do, on a real Redis: in force at once, noted before it is done, and never of what a file declares."""

from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.domain.callers import Policy, Role, hint_of, is_token
from service.domain.errors import Conflict, InvalidOrder, NotFound, PermissionDenied, Unauthenticated
from service.gateway.accounts.keys import NewKey
from service.ports.telemetry import AdminActed
from tests.adapters.redis.dumps import read_everything
from tests.adapters.redis.orders import made, make_ask, open_book, settle
from tests.end_to_end.administrations import Office, open_office

WHO = "key_0123456789abcdef"
ANNA = NewKey(team="shop", user="anna@example.com")


@pytest.fixture
def office(redis: Redis) -> Office:
    return open_office(redis)


async def test_a_new_key_identifies_its_user_at_once(office: Office) -> None:
    key, token = await office.administration.keys.create(WHO, replace(ANNA, role=Role.SERVICE))

    identity = await office.callers.identify(token)

    assert is_token(token)
    assert (key.hint, key.hint[-4:]) == (hint_of(token), token[-4:])
    assert key.id.startswith("key_")
    assert len(key.id) == 20
    assert (identity.team, identity.role, identity.key_id) == ("shop", Role.SERVICE, key.id)
    assert identity.user == office.callers.person("anna@example.com")
    assert await office.administration.keys.list("shop") == [key]
    assert [team.name for team in await office.administration.reader.teams()] == ["shop"]


async def test_a_token_is_not_stored(office: Office, redis: Redis) -> None:
    key, token = await office.administration.keys.create(WHO, ANNA)
    await office.callers.identify(token)
    await office.administration.keys.revoke(WHO, "shop", key.id)

    _, other = await office.administration.keys.create(WHO, ANNA)

    held = str(await read_everything(redis))
    assert token.removeprefix("ig_") not in held
    assert other.removeprefix("ig_") not in held
    assert token not in str(office.telemetry.facts)


async def test_a_revoked_key_is_worthless_at_once(office: Office, redis: Redis) -> None:
    key, token = await office.administration.keys.create(WHO, ANNA)
    await office.callers.identify(token)

    await office.administration.keys.revoke(WHO, "shop", key.id)

    with pytest.raises(Unauthenticated):
        await office.callers.identify(token)
    with pytest.raises(Unauthenticated):
        await open_book(redis).begin(make_ask(team="shop", key_id=key.id))
    with pytest.raises(NotFound):
        await office.administration.keys.revoke(WHO, "shop", key.id)


@pytest.mark.parametrize("key_id", ["closed", "", "key_*", "*"])
async def test_an_unknown_key_cannot_be_revoked(office: Office, key_id: str) -> None:
    await office.administration.keys.create(WHO, ANNA)
    await office.administration.close_team(WHO, "shop")

    with pytest.raises(NotFound):
        await office.administration.keys.revoke(WHO, "shop", key_id)

    assert (await office.administration.reader.teams())[0].is_closed


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"team": "Shop"}, "team"),
        ({"team": ""}, "team"),
        ({"team": "-x"}, "team"),
        ({"team": "a" * 41}, "team"),
        ({"user": ""}, "user"),
        ({"user": " anna"}, "user"),
        ({"user": "an\nna"}, "user"),
        ({"user": "a" * 101}, "user"),
        ({"user": "0" * 32}, "user"),
        ({"expires_s": 1}, "expires_at"),
        ({"expires_s": -1}, "expires_at"),
        ({"expires_s": 1_800_000_000_000}, "expires_at"),
    ],
)
async def test_invalid_acts_are_refused_before_they_begin(
    office: Office, redis: Redis, changes: dict[str, object], param: str
) -> None:
    with pytest.raises(InvalidOrder) as refusal:
        await office.administration.keys.create(WHO, replace(ANNA, **changes))  # type: ignore[arg-type]

    assert refusal.value.param == param
    assert await read_everything(redis) == {}


async def test_a_key_needs_an_existing_policy_and_an_open_team(office: Office) -> None:
    with pytest.raises(NotFound, match="careful"):
        await office.administration.keys.create(WHO, replace(ANNA, policy="careful"))
    await office.administration.change_team(WHO, "shop", {"is_closed": True})

    with pytest.raises(Conflict, match="closed"):
        await office.administration.keys.create(WHO, ANNA)
    with pytest.raises(InvalidOrder, match="open"):
        await office.administration.keys.create(WHO, replace(ANNA, team="open"))

    assert await office.administration.keys.list() == []


async def test_a_policy_is_in_force_at_once_and_stays_while_it_is_used(office: Office) -> None:
    admin = office.administration
    await admin.put_policy(WHO, Policy(name="careful", images_per_day=5))
    key, token = await admin.keys.create(WHO, replace(ANNA, policy="careful"))
    await admin.change_team(WHO, "shop", {"policy": "careful"})

    caller = office.callers.caller_of(await office.callers.identify(token), None)
    with pytest.raises(Conflict, match=r"team 'shop', key 'key_"):
        await admin.remove_policy(WHO, "careful")
    await admin.change_team(WHO, "shop", {"policy": None})
    with pytest.raises(Conflict, match=key.id):
        await admin.remove_policy(WHO, "careful")
    await admin.keys.revoke(WHO, "shop", key.id)
    await admin.remove_policy(WHO, "careful")

    assert [scope.policy.images_per_day for scope in caller.scopes] == [0, 5, 5]
    assert (await admin.reader.read()).policies == {}
    with pytest.raises(NotFound):
        await admin.remove_policy(WHO, "careful")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"name": "Careful"}, "name"),
        ({"images_per_day": -1}, "images_per_day"),
        ({"requests_per_min": 10**9 + 1}, "requests_per_min"),
        ({"max_n": 11}, "max_n"),
        ({"budget_per_month_microusd": 2**53}, "budget_per_month_microusd"),
        ({"max_size": "1024"}, "max_size"),
        ({"cache_scope": "all"}, "cache_scope"),
        ({"models": ("",)}, "models"),
    ],
)
async def test_an_invalid_policy_is_refused(office: Office, changes: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidOrder) as refusal:
        await office.administration.put_policy(WHO, replace(Policy(name="careful"), **changes))  # type: ignore[arg-type]

    assert refusal.value.param == param


async def test_a_closed_team_spends_nothing_until_it_is_reopened(office: Office, redis: Redis) -> None:
    admin = office.administration
    _, token = await admin.keys.create(WHO, ANNA)
    identity = await office.callers.identify(token)
    ask = make_ask(team="shop", key_id=identity.key_id)

    await admin.close_team(WHO, "shop")
    with pytest.raises(PermissionDenied):
        office.callers.caller_of(identity, None)
    with pytest.raises(PermissionDenied):
        await open_book(redis).begin(ask)
    await admin.reopen_team(WHO, "shop")

    assert (await open_book(redis).begin(ask)).mine
    with pytest.raises(NotFound):
        await admin.close_team(WHO, "nobody")


async def test_declarations_in_the_file_are_read_and_never_changed(redis: Redis, tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('[policies.careful]\nimages_per_day = 5\n[teams.shop]\npolicy = "careful"\n', "utf-8")
    admin = open_office(redis, config=config).administration
    declared = await admin.reader.read()

    for act in (
        admin.put_policy(WHO, Policy(name="careful")),
        admin.remove_policy(WHO, "careful"),
        admin.change_team(WHO, "shop", {"policy": None}),
        admin.close_team(WHO, "shop"),
        admin.reopen_team(WHO, "shop"),
    ):
        with pytest.raises(Conflict, match="configuration file"):
            await act

    assert await admin.audit(10) == []
    assert {name: each.images_per_day for name, each in declared.policies.items()} == {"careful": 5}
    assert declared.teams["shop"].policy == "careful"
    assert (await admin.reader.read()).policies == declared.policies
    key, _ = await admin.keys.create(WHO, replace(ANNA, policy="careful"))
    assert key.policy == "careful"
    assert (await admin.reader.read()).teams == declared.teams


async def test_every_act_has_its_line(office: Office) -> None:
    admin = office.administration
    await admin.put_policy(WHO, Policy(name="careful", images_per_day=5, models=("dall-e-3",)))
    key, _ = await admin.keys.create(WHO, ANNA)
    await admin.change_team(WHO, "shop", {"policy": "careful"})
    await admin.close_team(WHO, "shop")
    await admin.reopen_team(WHO, "shop")
    await admin.change_team(WHO, "shop", {"policy": None})
    await admin.remove_policy(WHO, "careful")
    await admin.keys.revoke(WHO, "shop", key.id)
    erased = await admin.erasure.erase("command line", "anna@example.com")

    lines = await admin.audit(100)

    assert [(line.act, line.target) for line in reversed(lines)] == [
        ("put_policy", "careful"),
        ("create_key", f"shop/{key.id}"),
        ("put_team", "shop"),
        ("close_team", "shop"),
        ("reopen_team", "shop"),
        ("put_team", "shop"),
        ("remove_policy", "careful"),
        ("revoke_key", f"shop/{key.id}"),
        ("erase_person", erased.user),
    ]
    assert [fact.entry for fact in office.telemetry.of(AdminActed)] == list(reversed(lines))
    assert [line.who for line in lines] == ["command line"] + [WHO] * 8
    assert lines[-1].details == "images_per_day=5 models=dall-e-3"
    assert "anna" not in str(lines)
    assert all(line.at_s > 0 for line in lines)
    assert await admin.audit(2) == lines[:2]


async def test_an_erasure_takes_a_person_out_of_every_team_and_keeps_the_sums(
    office: Office, redis: Redis
) -> None:
    admin, anna = office.administration, office.callers.person(ANNA.user)
    book = open_book(redis)
    token = ""
    for team in ("shop", "lab"):
        _, token = await admin.keys.create(WHO, replace(ANNA, team=team))
        await admin.keys.create(WHO, NewKey(team=team, user="bob"))
        for user in (anna, office.callers.person("bob")):
            pool = f"ig:1:{{{team}}}:pool:user-{user}:{'f' * 32}"
            ask = make_ask(team=team, user=user, pool=pool, scopes=(("user", user),))
            await book.begin(ask)
            await book.finish(settle(ask, made=made((0, user))))
    before = await sums(office)

    erased = await admin.erasure.erase(WHO, ANNA.user)
    again = await admin.erasure.erase(WHO, anna)

    assert (erased.user, erased.keys, again.keys, again.entries) == (anna, 2, 0, 0)
    assert await sums(office) == before
    held = await read_everything(redis)
    audit = held.pop("ig:1:{directory}:audit")
    assert anna not in str(held)
    assert ANNA.user not in str(held) + audit
    assert {key.user for key in await admin.keys.list()} == {"bob"}
    with pytest.raises(Unauthenticated):
        await office.callers.identify(token)


async def sums(office: Office) -> tuple[int, int]:
    entries = [entry async for entry in office.usage.entries(office.usage.days(None, None, most=31))]
    return sum(entry.images for entry in entries), sum(entry.microusd for entry in entries)
