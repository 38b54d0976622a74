"""Who calls: identities, what is remembered of them, and the scopes they count against."""

import asyncio
import contextlib
import gc
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.callers import NO_POLICY, ApiKey, Caller, Directory, Policy, Role, Scope, Team
from service.domain.errors import GatewayError, PermissionDenied, StateUnavailable, Unauthenticated
from service.domain.fingerprint import keyed_hash
from service.gateway.accounts.credentials import Credentials
from service.gateway.accounts.identify import ANYONE, LOOK_PAUSE_S, Callers, Identity
from tests.fakes.callers import (
    FakeBookOfEverybody,
    FakeCallerBook,
    FakeTokenVerifier,
    a_token,
    an_api_key,
    some_claims,
)
from tests.fakes.clock import FakeClock, until_idle
from tests.gateway.assembly import in_background

ADMIN_KEY = "the operator's own key"
DEFAULT = Policy(name="default", requests_per_min=10)
TIGHT = Policy(name="tight", requests_per_min=1)
WIDE = Policy(name="wide", requests_per_min=100)
KEPT_AT_MOST = 20_000


class House:
    """Callers of a gateway, and what stands around them."""

    def __init__(
        self,
        *,
        auth: str = "keys",
        token_keys: tuple[bytes, ...] = (b"token",),
        admin_key: str | None = ADMIN_KEY,
        declared: Directory | None = None,
        book: FakeCallerBook | None = None,
        clock: FakeClock | None = None,
        **claims: Any,
    ) -> None:
        self.has_looked = False
        self.clock = clock or FakeClock()
        self.book = book or FakeCallerBook()
        self.verifier = FakeTokenVerifier(**claims)
        self.callers = Callers(
            credentials=Credentials(
                takes_keys="keys" in auth,
                takes_jwt="jwt" in auth,
                token_keys=token_keys,
                person_key=b"person",
                admin_key=admin_key,
            ),
            book=self.book,
            verifier=self.verifier if "jwt" in auth else None,
            declared=declared or Directory(),
            default_policy=DEFAULT,
            clock=self.clock,
        )

    async def caller(self, token: str | None, named_user: str | None = None) -> Caller:
        """Return the caller, as a process sees it that has read the directory."""
        if not (self.has_looked or self.book.is_gone):
            await self.callers.look_again()
            self.has_looked = True
        return self.callers.caller_of(await self.callers.identify(token), named_user)

    async def says(self, token: str | None) -> str:
        """Return why *token* is refused."""
        with pytest.raises(Unauthenticated) as caught:
            await self.callers.identify(token)
        return str(caught.value)


async def test_a_key_identifies_its_user() -> None:
    house = House()
    house.book.add(
        a_token(), an_api_key(role=Role.SERVICE, policy="tight", expires_s=2_000_000_000, user="checkout")
    )

    identity = await house.callers.identify(a_token())

    assert identity == Identity(
        team="design",
        user=house.callers.person("checkout"),
        role=Role.SERVICE,
        key_id="key-1",
        key_hint="ig_aaaa…aaaa",
        key_policy="tight",
        expires_s=2_000_000_000,
    )


async def test_people_are_keyed_hashes() -> None:
    house = House()

    assert house.callers.person("ann") == keyed_hash(b"person", "user ann")
    assert house.callers.person("ann") != house.callers.person("bob")


async def test_a_known_key_is_looked_up_once() -> None:
    house = House()
    house.book.add(a_token(), an_api_key())

    identities = [await house.callers.identify(a_token()) for _ in range(3)]

    assert identities[0] == identities[1] == identities[2]
    assert len(house.book.look_ups) == 1


async def test_keys_that_differ_in_one_character_are_distinct() -> None:
    house = House()
    house.book.add(a_token("a"), an_api_key(id="key-a"))
    house.book.add(a_token("b"), an_api_key(id="key-b"))

    found = [(await house.callers.identify(a_token(text))).key_id for text in "abab"]

    assert found == ["key-a", "key-b", "key-a", "key-b"]


async def test_an_unknown_key_is_looked_up_once_for_a_while() -> None:
    house = House()

    for _ in range(3):
        assert "unknown" in await house.says(a_token())
        house.clock.advance(2.0)
    assert len(house.book.look_ups) == 1

    await house.says(a_token())
    assert len(house.book.look_ups) == 2


async def test_an_unknown_key_may_be_made_meanwhile() -> None:
    house = House()
    await house.says(a_token())
    house.book.add(a_token(), an_api_key())

    await house.callers.look_again()

    assert (await house.callers.identify(a_token())).key_id == "key-1"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "sk-proj-something",
        a_token() + "a",
        a_token()[:-1],
        a_token().replace("-", "ä"),
        "ig_" + "a" * 8000,
        "\udc80",
        "a.b",
        "a.b.c",
        "a.b.c.d",
    ],
)
async def test_malformed_keys_need_no_look_up(token: str) -> None:
    house = House()

    assert "Incorrect API key" in await house.says(token)
    assert house.book.look_ups == []


async def test_a_request_without_credentials_is_answered_with_the_header() -> None:
    house = House()

    assert "Authorization: Bearer" in await house.says(None)
    assert house.book.look_ups == []


@pytest.mark.slow
@pytest.mark.parametrize(("tokens", "are_keys"), [(100_000, False), (50_000, True)])
async def test_memory_stays_flat_with_many_tokens(tokens: int, *, are_keys: bool) -> None:
    house = House(book=FakeBookOfEverybody() if are_keys else None)

    async def present(first: int, last: int) -> int:
        """Return the blocks of memory in use once tokens *first* to *last* were presented."""
        for i in range(first, last):
            with contextlib.suppress(Unauthenticated):
                await house.callers.identify(a_token(str(i)))
            house.book.look_ups.clear()
        gc.collect()
        return sys.getallocatedblocks()

    full = await present(0, KEPT_AT_MOST + 100)
    after = await present(KEPT_AT_MOST + 100, tokens)

    # One block for each of those tokens would be too many already.
    assert after - full < (tokens - KEPT_AT_MOST) / 4
    await house.callers.look_again()
    gc.collect()
    assert sys.getallocatedblocks() < after - KEPT_AT_MOST


async def test_the_least_recently_used_key_is_looked_up_again() -> None:
    house = House(book=FakeBookOfEverybody())
    for i in range(KEPT_AT_MOST):
        await house.callers.identify(a_token(str(i)))
    await house.callers.identify(a_token("0"))
    await house.callers.identify(a_token("one more"))
    house.book.look_ups.clear()

    await house.callers.identify(a_token("0"))
    assert house.book.look_ups == []
    await house.callers.identify(a_token("1"))
    assert len(house.book.look_ups) == 1


async def test_unknown_keys_do_not_evict_known_ones() -> None:
    house = House()
    house.book.add(a_token("ann"), an_api_key())
    await house.callers.identify(a_token("ann"))
    for i in range(KEPT_AT_MOST + 1):
        await house.says(a_token(str(i)))
    house.book.look_ups.clear()

    await house.callers.identify(a_token("ann"))

    assert house.book.look_ups == []


async def test_a_key_expires_while_it_is_remembered() -> None:
    house = House()
    ends_s = int(house.clock.wall_s()) + 60
    house.book.add(a_token(), an_api_key(expires_s=ends_s))
    house.clock.advance(59.0)
    await house.callers.identify(a_token())

    house.clock.advance(1.0)

    assert "expired" in await house.says(a_token())
    assert len(house.book.look_ups) == 1


async def test_a_key_without_an_end_never_expires() -> None:
    house = House()
    house.book.add(a_token(), an_api_key(expires_s=0))
    house.clock.advance(1e9)

    assert (await house.callers.identify(a_token())).expires_s == 0


async def test_a_revoked_key_is_forgotten_at_the_next_look() -> None:
    house = House()
    house.book.add(a_token(), an_api_key())
    await house.callers.look_again()
    await house.callers.identify(a_token())
    house.book.revoke("key-1")

    await house.callers.look_again()

    assert "revoked" in await house.says(a_token())


@pytest.mark.parametrize("kept_by", [b"newest", b"oldest"])
async def test_keys_are_known_again_after_any_change_before_redis_goes(
    clock: FakeClock, kept_by: bytes
) -> None:
    house = House(token_keys=(b"newest", b"oldest"), clock=clock)
    house.book.add(a_token(), an_api_key(), hashed_with=kept_by)
    house.book.add(a_token("other"), an_api_key(id="key-2"), hashed_with=kept_by)
    async with in_background(house.callers.watch_forever()):
        await until_idle()
        await house.callers.identify(a_token())
        await house.callers.identify(a_token("other"))
        house.book.revoke("key-2")
        await asyncio.sleep(LOOK_PAUSE_S)
        house.book.is_gone = True

        identity = await house.callers.identify(a_token())
        with pytest.raises(StateUnavailable):
            await house.callers.identify(a_token("other"))

    assert identity.key_id == "key-1"


async def test_keys_that_could_not_be_looked_up_again_are_tried_later(clock: FakeClock) -> None:
    house = House(clock=clock)
    house.book.add(a_token(), an_api_key())
    await house.callers.look_again()
    await house.callers.identify(a_token())
    house.book.declare(Directory())
    await house.callers.look_again()
    house.book.is_gone = True
    async with in_background(house.callers.watch_forever()):
        await until_idle()
        house.book.is_gone = False
        await asyncio.sleep(LOOK_PAUSE_S)
        house.book.is_gone = True

        assert (await house.callers.identify(a_token())).key_id == "key-1"


class Reluctant(FakeCallerBook):
    """Answers no look-up of a key while *is_reluctant*, though it tells changes."""

    is_reluctant = False

    async def find_key(self, token_hash: str) -> ApiKey | None:
        if self.is_reluctant:
            raise StateUnavailable("timeout")
        return await super().find_key(token_hash)


async def test_a_failed_look_up_of_a_forgotten_key_is_repeated(clock: FakeClock) -> None:
    book = Reluctant()
    house = House(clock=clock, book=book)
    book.add(a_token(), an_api_key())
    await house.callers.look_again()
    await house.callers.identify(a_token())
    book.declare(Directory())
    book.is_reluctant = True
    async with in_background(house.callers.watch_forever()):
        await until_idle()
        book.is_reluctant = False
        await asyncio.sleep(LOOK_PAUSE_S)
        book.is_gone = True

        assert (await house.callers.identify(a_token())).key_id == "key-1"


async def test_a_forgotten_key_that_was_used_meanwhile_is_not_looked_up_again(clock: FakeClock) -> None:
    house = House(clock=clock)
    house.book.add(a_token(), an_api_key())
    await house.callers.look_again()
    await house.callers.identify(a_token())
    house.book.declare(Directory())
    await house.callers.look_again()
    await house.callers.identify(a_token())
    looked_up = len(house.book.look_ups)

    async with in_background(house.callers.watch_forever()):
        await until_idle()

    assert len(house.book.look_ups) == looked_up


async def test_nothing_is_forgotten_while_nothing_has_changed() -> None:
    house = House()
    house.book.add(a_token(), an_api_key())
    await house.callers.look_again()
    await house.callers.identify(a_token())
    await house.says(a_token("unknown"))
    looked_up = len(house.book.look_ups)

    await house.callers.look_again()
    await house.callers.identify(a_token())
    await house.says(a_token("unknown"))

    assert len(house.book.look_ups) == looked_up
    assert house.book.directories_read == 1


async def test_a_key_that_is_revoked_while_it_is_looked_up_is_not_remembered() -> None:
    house = House()
    house.book.add(a_token(), an_api_key())
    await house.callers.look_again()
    house.book.may_answer.clear()
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(house.callers.identify(a_token()))
        await house.book.looking.wait()
        house.book.revoke("key-1")
        await house.callers.look_again()
        house.book.may_answer.set()
        # It was good when the question was asked; `begin` has the last word.
        assert (await looking).key_id == "key-1"

    assert "revoked" in await house.says(a_token())


async def test_a_burst_of_requests_with_one_key_looks_it_up_once_whoever_leaves() -> None:
    house = House()
    house.book.add(a_token(), an_api_key())
    await house.callers.look_again()
    house.book.may_answer.clear()
    async with asyncio.TaskGroup() as group:
        burst = [group.create_task(house.callers.identify(a_token())) for _ in range(100)]
        await house.book.looking.wait()
        burst[0].cancel()
        await until_idle()
        house.book.may_answer.set()

    assert {each.result().key_id for each in burst[1:]} == {"key-1"}
    # By the one who left, and by one of the others.
    assert len(house.book.look_ups) == 2


async def test_a_burst_after_a_change_does_not_wait_for_the_look_up_of_before() -> None:
    house = House()
    house.book.add(a_token(), an_api_key())
    await house.callers.look_again()
    house.book.may_answer.clear()
    async with asyncio.TaskGroup() as group:
        before = group.create_task(house.callers.identify(a_token()))
        await house.book.looking.wait()
        house.book.revoke("key-1")
        await house.callers.look_again()
        after = group.create_task(house.says(a_token()))
        await until_idle()
        house.book.may_answer.set()

    assert before.result().key_id == "key-1"
    assert "revoked" in after.result()


async def test_a_failed_look_up_fails_all_that_wait_for_it_and_no_later_one() -> None:
    house = House()
    house.book.add(a_token(), an_api_key())
    await house.callers.look_again()
    house.book.may_answer.clear()

    async def fails() -> None:
        with pytest.raises(StateUnavailable):
            await house.callers.identify(a_token())

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(fails())
        await house.book.looking.wait()
        await until_idle()
        house.book.is_gone = True
        house.book.may_answer.set()
    house.book.is_gone = False

    assert len(house.book.look_ups) == 1
    assert (await house.callers.identify(a_token())).key_id == "key-1"


async def test_known_callers_stay_known_while_redis_is_away() -> None:
    house = House()
    house.book.add(a_token("known"), an_api_key())
    await house.callers.look_again()
    await house.callers.identify(a_token("known"))
    await house.says(a_token("unknown"))
    house.book.is_gone = True

    with pytest.raises(StateUnavailable):
        await house.callers.look_again()

    assert (await house.callers.identify(a_token("known"))).key_id == "key-1"
    assert "unknown" in await house.says(a_token("unknown"))
    with pytest.raises(StateUnavailable):
        await house.callers.identify(a_token("never seen"))


async def test_an_outage_makes_no_key_unknown() -> None:
    house = House()
    house.book.add(a_token(), an_api_key())
    house.book.is_gone = True
    with pytest.raises(StateUnavailable):
        await house.callers.identify(a_token())
    house.book.is_gone = False

    assert (await house.callers.identify(a_token())).key_id == "key-1"


async def test_changes_are_looked_for_twice_a_second_through_every_outage(clock: FakeClock) -> None:
    house = House(clock=clock)
    house.book.add(a_token(), an_api_key())
    async with in_background(house.callers.watch_forever()):
        await until_idle()
        await house.callers.identify(a_token())
        house.book.revoke("key-1")
        house.book.is_gone = True
        await asyncio.sleep(10 * LOOK_PAUSE_S)
        assert (await house.callers.identify(a_token())).key_id == "key-1"
        house.book.is_gone = False
        await asyncio.sleep(LOOK_PAUSE_S)

        await house.says(a_token())

    assert LOOK_PAUSE_S <= 0.5


async def test_a_key_of_an_older_secret_stays_good_while_the_secret_is_listed() -> None:
    old, new = a_token("old"), a_token("new")
    house = House(token_keys=(b"newer", b"older"))
    house.book.add(old, an_api_key(id="key-old"), hashed_with=b"older")
    house.book.add(new, an_api_key(id="key-new"), hashed_with=house_key(house, new))

    found = [(await house.callers.identify(token)).key_id for token in (old, new, old, new)]

    assert found == ["key-old", "key-new", "key-old", "key-new"]
    assert len(house.book.look_ups) == 3
    after = House(token_keys=(b"newer",), book=house.book)
    await after.says(old)


def house_key(house: House, token: str) -> bytes:
    """Return the key whose hash new tokens are kept under."""
    assert house.callers.credentials.hash_token(token) == keyed_hash(b"newer", token)
    return b"newer"


async def test_an_unknown_key_is_asked_for_under_every_secret_once() -> None:
    house = House(token_keys=(b"newer", b"older"))

    await house.says(a_token())
    await house.says(a_token())

    assert house.book.look_ups == [keyed_hash(b"newer", a_token()), keyed_hash(b"older", a_token())]


@pytest.mark.parametrize("auth", ["open", "keys", "jwt", "keys,jwt"])
async def test_the_admin_key_opens_in_every_mode_without_a_look_up(auth: str) -> None:
    house = House(auth=auth)
    house.book.is_gone = True

    identity = await house.callers.identify(ADMIN_KEY)

    assert (identity.team, identity.role, identity.key_id) == ("admin", Role.ADMIN, None)
    assert (house.book.look_ups, house.verifier.judged) == ([], [])


@pytest.mark.parametrize(
    "token", [ADMIN_KEY[:-1], f"{ADMIN_KEY}x", ADMIN_KEY.upper(), f" {ADMIN_KEY}", "", "\udcff", "ä"]
)
@pytest.mark.parametrize("admin_key", [ADMIN_KEY, None, a_token("admin")])
async def test_a_near_miss_of_the_admin_key_is_an_ordinary_token(token: str, admin_key: str | None) -> None:
    house = House(admin_key=admin_key)

    assert await house.says(token) == await house.says("something else")
    assert house.book.look_ups == []


async def test_a_near_miss_shaped_like_a_key_is_looked_up_like_any_other() -> None:
    house = House(admin_key=a_token("admin"))

    assert (await house.callers.identify(a_token("admin"))).role is Role.ADMIN
    assert house.book.look_ups == []

    assert await house.says(a_token("xdmin")) == await house.says(a_token("entirely different"))
    assert len(house.book.look_ups) == 2


async def test_without_an_admin_key_no_token_is_the_operators() -> None:
    house = House(auth="open", admin_key=None)

    for token in ("", "None", ADMIN_KEY):
        assert (await house.callers.identify(token)).role is Role.USER


async def test_in_open_mode_a_token_only_distinguishes_users() -> None:
    house = House(auth="open")
    house.book.is_gone = True

    ann, again, bob = [await house.caller(token) for token in ("ann's", "ann's", a_token("bob"))]

    assert ann == again
    assert ann.user != bob.user
    assert ann.user not in {house.callers.person("ann's"), "ann's"}
    assert {ann.team, bob.team} == {"open"}
    assert house.book.look_ups == []


async def test_in_open_mode_the_request_may_name_its_user_if_no_token_does() -> None:
    house = House(auth="open")

    assert await house.callers.identify(None) is ANYONE
    assert (await house.caller(None)).user == "anonymous"
    assert (await house.caller(None, "")).user == "anonymous"
    assert (await house.caller(None, "ann")).user == house.callers.person("ann")
    assert await house.caller("token", "ann") == await house.caller("token", "bob")


async def test_an_open_gateway_limits_users_by_the_default_policy() -> None:
    house = House(auth="open")

    assert (await house.caller(None)).scopes == (Scope(name="user", key="anonymous", policy=DEFAULT),)


async def test_a_key_counts_against_its_user_itself_and_its_team() -> None:
    policies = {"tight": TIGHT, "wide": WIDE}
    house = House(declared=Directory(policies=policies, teams={"design": Team(name="design", policy="wide")}))
    house.book.add(a_token(), an_api_key(policy="tight"))

    caller = await house.caller(a_token())

    ann = house.callers.person("ann")
    assert caller == Caller(
        team="design",
        user=ann,
        key_id="key-1",
        role=Role.USER,
        scopes=(
            Scope(name="user", key=ann, policy=DEFAULT),
            Scope(name="key", key="key-1", policy=TIGHT),
            Scope(name="team", key="design", policy=WIDE),
        ),
    )


async def test_a_key_without_a_policy_in_a_team_without_one_is_limited_as_a_user_only() -> None:
    house = House()
    house.book.add(a_token(), an_api_key())

    policies = [scope.policy for scope in (await house.caller(a_token())).scopes]

    assert policies == [DEFAULT, NO_POLICY, NO_POLICY]


async def test_a_team_may_have_a_policy_for_each_of_its_users() -> None:
    house = House(
        declared=Directory(
            policies={"tight": TIGHT}, teams={"design": Team(name="design", user_policy="tight")}
        )
    )
    house.book.add(a_token(), an_api_key())

    assert (await house.caller(a_token())).scopes[0].policy == TIGHT


async def test_policies_and_teams_are_in_force_after_the_next_look() -> None:
    house = House()
    house.book.add(a_token(), an_api_key())
    assert (await house.caller(a_token())).scopes[2].policy == NO_POLICY
    house.book.declare(
        Directory(policies={"wide": WIDE}, teams={"design": Team(name="design", policy="wide")})
    )
    assert (await house.caller(a_token())).scopes[2].policy == NO_POLICY

    await house.callers.look_again()

    assert (await house.caller(a_token())).scopes[2].policy == WIDE
    assert set(house.callers.directory.policies) == {"wide"}


async def test_a_declaration_overrides_a_stored_entry() -> None:
    house = House(
        declared=Directory(policies={"p": TIGHT}, teams={"design": Team(name="design", policy="p")})
    )
    house.book.add(a_token(), an_api_key())
    house.book.declare(
        Directory(
            policies={"p": WIDE, "made": WIDE},
            teams={"design": Team(name="design", is_closed=True), "sales": Team(name="sales", policy="made")},
        )
    )
    await house.callers.look_again()

    assert (await house.caller(a_token())).scopes[2].policy == TIGHT
    assert house.callers.directory == Directory(
        policies={"p": TIGHT, "made": WIDE},
        teams={"design": Team(name="design", policy="p"), "sales": Team(name="sales", policy="made")},
    )


async def test_removed_policies_and_teams_are_forgotten() -> None:
    house = House()
    house.book.declare(Directory(policies={"p": TIGHT}))
    await house.callers.look_again()
    house.book.declare(Directory())

    await house.callers.look_again()

    assert house.callers.directory == Directory()


@pytest.mark.parametrize(
    ("key_policy", "team"),
    [
        ("lost", Team(name="design")),
        (None, Team(name="design", policy="lost")),
        (None, Team(name="design", user_policy="lost")),
    ],
)
async def test_a_lost_policy_lifts_no_limit(key_policy: str | None, team: Team) -> None:
    house = House(declared=Directory(policies={"other": WIDE}, teams={"design": team}))
    house.book.add(a_token(), an_api_key(policy=key_policy))

    with pytest.raises(PermissionDenied, match="The policy 'lost' of these credentials does not exist"):
        await house.caller(a_token())


@pytest.mark.parametrize("team", ["open", "design"])
async def test_a_closed_team_is_denied(team: str) -> None:
    house = House(
        auth="open" if team == "open" else "keys",
        declared=Directory(teams={team: Team(name=team, is_closed=True)}),
    )
    house.book.add(a_token(), an_api_key(team=team))

    with pytest.raises(PermissionDenied, match="closed"):
        await house.caller(a_token())


async def test_acts_of_admins_see_at_once_that_another_process_has_closed_their_team() -> None:
    house = House()
    house.book.add(a_token(), an_api_key(role=Role.ADMIN))
    await house.callers.identify(a_token())
    house.book.declare(Directory(teams={"design": Team(name="design", is_closed=True)}))

    with pytest.raises(PermissionDenied, match="closed"):
        await house.callers.identify(a_token(), afresh=True)
    with pytest.raises(PermissionDenied, match="closed"):
        await house.callers.identify(a_token())


async def test_a_token_of_a_closed_team_is_denied() -> None:
    closed = Directory(teams={"design": Team(name="design", is_closed=True)})
    house = House(auth="jwt", declared=closed, ann=some_claims())

    with pytest.raises(PermissionDenied, match="closed"):
        await house.callers.identify("ann.a.b")


async def test_a_service_orders_for_the_end_users_it_names() -> None:
    house = House()
    house.book.add(a_token(), an_api_key(role=Role.SERVICE, user="checkout"))

    named, unnamed = await house.caller(a_token(), "end user 7"), await house.caller(a_token())

    assert named.user == house.callers.person("end user 7")
    assert named.scopes[0].key == named.user
    assert named.scopes[1:] == unnamed.scopes[1:]
    assert unnamed.user == house.callers.person("checkout")


@pytest.mark.parametrize("role", [Role.USER, Role.ADMIN])
async def test_other_roles_cannot_name_a_user(role: Role) -> None:
    house = House()
    house.book.add(a_token(), an_api_key(role=role))

    assert await house.caller(a_token(), "somebody else") == await house.caller(a_token())


async def test_a_token_of_the_identity_provider_identifies_its_subject() -> None:
    house = House(auth="jwt", declared=Directory(policies={"tight": TIGHT}), ann=some_claims(policy="tight"))

    identity = await house.callers.identify("ann.a.b")

    assert identity == Identity(
        team="design",
        user=house.callers.person("ann"),
        role=Role.USER,
        user_policy="tight",
        expires_s=2e9,
    )
    caller = await house.caller("ann.a.b", "somebody else")
    assert caller.key_id is None
    assert caller.scopes == (
        Scope(name="user", key=house.callers.person("ann"), policy=TIGHT),
        Scope(name="team", key="design", policy=NO_POLICY),
    )


async def test_the_policy_of_a_token_precedes_its_teams() -> None:
    house = House(
        auth="jwt",
        declared=Directory(
            policies={"tight": TIGHT, "wide": WIDE},
            teams={"design": Team(name="design", user_policy="tight")},
        ),
        ann=some_claims(policy="wide"),
        bob=some_claims(policy=None),
        eve=some_claims(policy="lost"),
    )

    assert [(await house.caller(f"{name}.a.b")).scopes[0].policy for name in ("ann", "bob")] == [WIDE, TIGHT]
    with pytest.raises(PermissionDenied):
        await house.caller("eve.a.b")


@pytest.mark.parametrize("team", [None, ""])
async def test_a_token_that_names_no_team_has_the_default_one(team: str | None) -> None:
    house = House(auth="jwt", ann=some_claims(team=team))

    assert (await house.callers.identify("ann.a.b")).team == "default"


@pytest.mark.parametrize("field", ["team", "policy"])
@pytest.mark.parametrize("name", ["Design", "a b", "a}b", "-", "a" * 41])
async def test_a_token_with_invalid_names_is_refused(field: str, name: str) -> None:
    house = House(auth="jwt", ann=some_claims(**{field: name}))

    assert f"names a {field} that cannot be one" in await house.says("ann.a.b")


async def test_a_forged_token_is_refused_and_an_unreadable_provider_is_no_forgery() -> None:
    house = House(auth="jwt", ann=some_claims())

    assert await house.says("eve.a.b") == "The token is not valid."
    house.verifier.is_gone = True
    with pytest.raises(StateUnavailable):
        await house.callers.identify("ann.a.b")


async def test_keys_and_tokens_are_distinguished_by_their_form() -> None:
    house = House(auth="keys,jwt", ann=some_claims())
    house.book.add(a_token(), an_api_key())

    assert (await house.callers.identify(a_token())).key_id == "key-1"
    assert (await house.callers.identify("ann.a.b")).key_id is None
    assert (len(house.book.look_ups), house.verifier.judged) == (1, ["ann.a.b"])
    assert "Incorrect API key" in await house.says("neither")


async def test_keys_are_refused_where_only_tokens_are_accepted() -> None:
    house = House(auth="jwt")
    house.book.add(a_token(), an_api_key())

    assert "Incorrect API key" in await house.says(a_token())
    assert (house.book.look_ups, house.verifier.judged) == ([], [])


@given(st.text(max_size=60))
def test_no_text_crashes_the_gateway_or_is_admitted(text: str) -> None:
    house = House(auth="keys,jwt", token_keys=(b"newer", b"older"))
    try:
        asyncio.run(house.callers.identify(text))
        is_refused = False
    except GatewayError:
        is_refused = True

    assert is_refused


async def test_a_key_made_while_it_was_looked_up_is_not_remembered_as_unknown() -> None:
    house = House()
    await house.callers.look_again()
    house.book.may_answer.clear()
    async with asyncio.TaskGroup() as group:
        early = group.create_task(house.says(a_token()))
        await house.book.looking.wait()
        house.book.add(a_token(), an_api_key())
        await house.callers.look_again()
        house.book.may_answer.set()
    assert "unknown" in early.result()

    assert (await house.callers.identify(a_token())).key_id == "key-1"


@pytest.mark.parametrize("team", ["open", "admin"])
async def test_a_token_cannot_join_a_reserved_team(team: str) -> None:
    house = House(auth="jwt", eve=some_claims(team=team))

    with pytest.raises(Unauthenticated, match=f"'{team}', which is reserved"):
        await house.callers.identify("eve.a.b")


async def test_no_team_orders_before_the_directory_was_read() -> None:
    """It may be closed, or have a budget; only what a file declares is known."""
    house = House(
        auth="jwt",
        eve=some_claims(team="studio"),
        ann=some_claims(team="declared"),
        declared=Directory(teams={"declared": Team(name="declared")}),
    )

    with pytest.raises(StateUnavailable):
        house.callers.caller_of(await house.callers.identify("eve.a.b"), None)

    assert house.callers.caller_of(await house.callers.identify("ann.a.b"), None).team == "declared"
    await house.callers.look_again()
    assert house.callers.caller_of(await house.callers.identify("eve.a.b"), None).team == "studio"


async def test_acts_of_admins_look_up_their_key_afresh() -> None:
    house = House()
    house.book.add(a_token(), an_api_key(role=Role.ADMIN))
    await house.callers.identify(a_token())
    house.book.revoke("key-1")

    with pytest.raises(Unauthenticated):
        await house.callers.identify(a_token(), afresh=True)
