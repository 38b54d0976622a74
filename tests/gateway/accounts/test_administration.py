"""What admins do, on fakes: checked, then noted, then done."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace

import pytest

from service.domain.callers import ApiKey, Directory, Policy, Role, Team
from service.domain.errors import Conflict, InvalidOrder, NotFound, StateUnavailable, Unauthenticated
from service.gateway.accounts.administration import Administration
from service.gateway.accounts.audit import AuditTrail
from service.gateway.accounts.credentials import Credentials
from service.gateway.accounts.directory import DirectoryReader
from service.gateway.accounts.erasure import Erased, Erasure
from service.gateway.accounts.identify import Callers
from service.gateway.accounts.keys import Keys, NewKey
from service.ports.telemetry import AdminActed, ImageForgotten
from tests.fakes.callers import an_api_key
from tests.fakes.clock import FakeClock, a_clock_check, until_idle
from tests.fakes.registrar import FakeLedger, FakeNotices, FakeRegistrar, a_ledger_entry
from tests.fakes.storage import FakeReferences
from tests.fakes.telemetry import FakeTelemetry
from tests.fakes.values import a_catalog, a_reference
from tests.gateway.assembly import in_background

HOUR_S, WEEK_S = 3600, 604_800
FILE = Directory(policies={"fixed": Policy(name="fixed")}, teams={"fixed": Team(name="fixed")})


class Office:
    """An administration and what stands around it; the team `design` and the policy `small` are there."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.book = FakeRegistrar()
        self.book.teams = {"design": Team(name="design")}
        self.book.policies = {"small": Policy(name="small")}
        self.book.declare(Directory(policies=self.book.policies, teams=self.book.teams))
        self.ledger = FakeLedger()
        self.references = FakeReferences()
        self.telemetry = FakeTelemetry()
        credentials = Credentials(
            takes_keys=True, takes_jwt=False, token_keys=(b"token",), person_key=b"person"
        )
        self.callers = Callers(
            credentials=credentials,
            book=self.book,
            verifier=None,
            declared=FILE,
            default_policy=Policy(),
            clock=self.clock,
        )
        self.trail = AuditTrail(self.book, self.clock, self.telemetry)
        self.reader = DirectoryReader(
            book=self.book,
            known=self.ledger,
            declarations=FakeNotices(),
            declared=FILE,
            models=frozenset(a_catalog().models),
        )
        self.administration = Administration(
            callers=self.callers,
            reader=self.reader,
            registrar=self.book,
            keys=self.keys(),
            erasure=self.erasure(),
            trail=self.trail,
            acts=self.book,
        )

    def keys(self) -> Keys:
        return Keys(
            callers=self.callers,
            reader=self.reader,
            registrar=self.book,
            teams=self.book,
            trail=self.trail,
            clock=self.clock,
            check=a_clock_check(self.clock, self.telemetry),
        )

    def erasure(self) -> Erasure:
        return Erasure(
            callers=self.callers,
            reader=self.reader,
            keys=self.book,
            ledger=self.ledger,
            listing=self.references,
            references=self.references,
            trail=self.trail,
            telemetry=self.telemetry,
        )


async def test_a_key_is_valid_at_once_and_its_line_has_no_name() -> None:
    office = Office()
    new = NewKey(team="design", user="ann", role=Role.SERVICE, policy="small", expires_s=2_000_000_000)

    key, token = await office.administration.keys.create("boss", new)

    identity = await office.callers.identify(token)
    assert (identity.team, identity.key_id, identity.role) == ("design", key.id, Role.SERVICE)
    assert office.book.acts == ["note create_key", "add_key"]
    [entry] = await office.administration.audit(9)
    assert (entry.who, entry.act, entry.target) == ("boss", "create_key", f"design/{key.id}")
    person = office.callers.person("ann")
    assert entry.details == f"user={person} role=service policy=small expires_at=2000000000"
    assert token not in str(entry)
    assert office.telemetry.of(AdminActed) == [AdminActed(entry=entry)]


async def test_a_key_shows_if_its_secret_is_listed() -> None:
    keys = Office().administration.keys
    key, _ = await keys.create("boss", NewKey(team="design", user="ann"))

    assert keys.has_its_secret(key) is True
    assert keys.has_its_secret(replace(key, secret_mark="another")) is False
    assert keys.has_its_secret(replace(key, secret_mark="")) is None


async def test_keys_of_all_teams_are_listed_oldest_first() -> None:
    office = Office()
    for team in ("sales", "design", "sales", "art"):
        await office.administration.keys.create("boss", NewKey(team=team, user="ann"))
        office.clock.advance(1)

    assert [key.team for key in await office.administration.keys.list()] == [
        "sales",
        "design",
        "sales",
        "art",
    ]


async def test_a_key_is_found_by_the_beginning_of_its_id() -> None:
    office = Office()
    for key_id in ("key_12345678", "key_12349999", "key_1234"):
        await office.book.add_key(an_api_key(id=key_id, team="sales"), "hash")

    for text, found in (
        ("key_12345", "key_12345678"),
        ("key_12349999", "key_12349999"),
        ("key_1234", "key_1234"),
    ):
        assert (await office.administration.keys.find("sales", text)).id == found


async def test_an_ambiguous_beginning_names_the_keys() -> None:
    office = Office()
    for key_id in ("key_12345678", "key_12349999", "key_ffff9999"):
        await office.book.add_key(an_api_key(id=key_id, team="sales"), "hash")

    with pytest.raises(Conflict, match="key_12345678, key_12349999") as refused:
        await office.administration.keys.find("sales", "key_1234")

    assert "key_ffff9999" not in str(refused.value)


@pytest.mark.parametrize("text", ["key_123", "key_", "", "1234", "key_9999", "ey_12345678"])
async def test_a_short_or_unknown_beginning_finds_no_key(text: str) -> None:
    office = Office()
    await office.book.add_key(an_api_key(id="key_12345678", team="sales"), "hash")

    with pytest.raises(NotFound, match="no key"):
        await office.administration.keys.find("sales", text)
    with pytest.raises(NotFound, match="no key"):
        await office.administration.keys.find("art", "key_1234")


@pytest.mark.parametrize("name", ["open", "admin"])
async def test_reserved_teams_can_only_be_closed(name: str) -> None:
    office = Office()
    office.book.teams[name] = Team(name=name)

    for fields in ({}, {"policy": "small"}):
        with pytest.raises(InvalidOrder, match="of the gateway itself"):
            await office.administration.change_team("boss", name, fields)
    await office.administration.close_team("boss", name)

    assert office.book.teams[name] == Team(name=name, is_closed=True)


async def test_a_key_creates_its_team() -> None:
    office = Office()

    await office.administration.keys.create("boss", NewKey(team="sales", user="ann"))

    assert office.book.acts == ["note create_key", "put_team", "add_key"]
    assert office.callers.directory.teams["sales"] == Team(name="sales")
    assert [key.team for key in await office.administration.keys.list()] == ["sales"]
    assert await office.administration.keys.list("design") == []


@pytest.mark.parametrize(
    ("new", "refusal"),
    [
        (NewKey(team="Design", user="ann"), InvalidOrder),
        (NewKey(team="design", user=" ann"), InvalidOrder),
        (NewKey(team="design", user="ann", expires_s=1), InvalidOrder),
        (NewKey(team="design", user="ann", policy="none"), NotFound),
        (NewKey(team="open", user="ann"), InvalidOrder),
        (NewKey(team="admin", user="ann"), InvalidOrder),
        (NewKey(team="closed", user="ann"), Conflict),
    ],
)
async def test_an_invalid_key_is_not_created(new: NewKey, refusal: type[Exception]) -> None:
    office = Office()
    await office.book.put_team(Team(name="closed", is_closed=True))
    office.book.acts.clear()

    with pytest.raises(refusal):
        await office.administration.keys.create("boss", new)

    assert office.book.acts == []


async def test_a_revoked_key_is_worthless_at_once() -> None:
    office = Office()
    key, token = await office.administration.keys.create("boss", NewKey(team="design", user="ann"))
    await office.callers.identify(token)

    assert await office.administration.keys.revoke("boss", "design", key.id) == key
    with pytest.raises(Unauthenticated):
        await office.callers.identify(token)
    assert office.book.acts[-2:] == ["note revoke_key", "revoke_key"]


async def test_keys_are_removed_a_week_after_they_expired(clock: FakeClock) -> None:
    office = Office(clock)
    now_s = int(office.clock.wall_s())
    for at_s in (0, now_s + 60, now_s + WEEK_S):
        await office.administration.keys.create("boss", NewKey(team="design", user="ann", expires_s=at_s))
    async with in_background(office.administration.keys.expire_forever()):
        await until_idle()
        assert await expiries(office) == [0, now_s + 60, now_s + WEEK_S]

        await asyncio.sleep(WEEK_S)
        assert await expiries(office) == [0, now_s + 60, now_s + WEEK_S]
        await asyncio.sleep(2 * HOUR_S)

        assert await expiries(office) == [0, now_s + WEEK_S]
        assert office.book.acts.count("revoke_key") == 1


async def test_a_wrong_clock_removes_no_key(clock: FakeClock) -> None:
    office = Office(clock)
    expires_s = int(office.clock.wall_s()) + 90 * 24 * HOUR_S
    await office.administration.keys.create("boss", NewKey(team="design", user="ann", expires_s=expires_s))

    clock.jump(100 * 24 * HOUR_S)
    async with in_background(office.administration.keys.expire_forever()):
        await asyncio.sleep(2 * HOUR_S)

    assert await expiries(office) == [expires_s]


async def test_a_pass_over_expired_keys_is_bounded_and_goes_on_after_an_outage(
    clock: FakeClock,
) -> None:
    office = Office(clock)
    for number in range(1500):
        await office.book.add_key(an_api_key(id=f"key-{number}", expires_s=1), f"hash-{number}")
    office.book.is_gone = True
    async with in_background(office.administration.keys.expire_forever()):
        await until_idle()
        office.book.is_gone = False
        assert len(office.book.keys) == 1500

        await asyncio.sleep(1.5 * HOUR_S)
        assert len(office.book.keys) == 500
        await asyncio.sleep(HOUR_S)
        assert office.book.keys == []


async def expiries(office: Office) -> list[int]:
    return sorted(key.expires_s for key in await office.administration.keys.list("design"))


async def test_only_an_existing_key_can_be_revoked() -> None:
    office = Office()
    key, _ = await office.administration.keys.create("boss", NewKey(team="design", user="ann"))

    with pytest.raises(NotFound, match="has no key"):
        await office.administration.keys.revoke("boss", "sales", key.id)
    assert "note revoke_key" not in office.book.acts
    office.book.is_overtaken = True
    with pytest.raises(NotFound, match="by another admin"):
        await office.administration.keys.revoke("boss", "design", key.id)


async def test_the_audit_line_of_a_policy_has_its_limits() -> None:
    office = Office()
    policy = Policy(name="tight", images_per_min=5, models=("dall-e-3", "gpt-image-2"), caches=False)

    await office.administration.put_policy("boss", policy)

    assert office.callers.directory.policies["tight"] == policy
    assert office.book.notes[0].details == "images_per_min=5 models=dall-e-3,gpt-image-2 caches=False"
    assert office.book.acts == ["note put_policy", "put_policy"]


async def test_an_unused_policy_can_be_removed() -> None:
    office = Office()

    await office.administration.remove_policy("boss", "small")

    assert set((await office.administration.reader.read()).policies) == {"fixed"}
    assert office.book.acts == ["note remove_policy", "remove_policy"]


@pytest.mark.parametrize(
    "team", [Team(name="design", policy="small"), Team(name="design", user_policy="small")]
)
async def test_a_policy_in_use_by_a_team_stays(team: Team) -> None:
    office = Office()
    await office.administration.change_team("boss", team.name, asdict(team))

    with pytest.raises(Conflict, match="in use by team 'design'"):
        await office.administration.remove_policy("boss", "small")

    assert "small" in office.book.policies


async def test_a_conflict_names_a_few_users_of_a_policy() -> None:
    office = Office()
    office.book.keys = [an_api_key(id=f"key-{i}", policy="small") for i in range(7)]

    with pytest.raises(Conflict, match=r"key 'key-4' of team 'design' and 2 more\."):
        await office.administration.remove_policy("boss", "small")


async def test_a_team_is_closed_and_reopened_as_it_was() -> None:
    office = Office()
    team = Team(name="design", policy="small", user_policy="fixed")
    await office.administration.change_team("boss", team.name, asdict(team))

    assert await office.administration.close_team("boss", "design") == replace(team, is_closed=True)
    assert office.callers.directory.teams["design"].is_closed
    assert await office.administration.reopen_team("boss", "design") == team
    assert [(entry.act, entry.details) for entry in await office.administration.audit(2)] == [
        ("reopen_team", "closed=yes->no"),
        ("close_team", "closed=no->yes"),
    ]


async def test_a_team_that_only_orders_made_can_be_closed() -> None:
    office = Office()
    office.ledger.entries = [a_ledger_entry(team="jwt")]

    assert [team.name for team in await office.administration.reader.teams()] == ["design", "fixed", "jwt"]
    assert await office.administration.close_team("boss", "jwt") == Team(name="jwt", is_closed=True)


Attempt = Callable[[Administration], Awaitable[object]]


@pytest.mark.parametrize(
    ("attempt", "refusal"),
    [
        (lambda office: office.put_policy("boss", Policy(name="fixed")), Conflict),
        (lambda office: office.put_policy("boss", Policy(name="small", images_per_min=-1)), InvalidOrder),
        (lambda office: office.remove_policy("boss", "fixed"), Conflict),
        (lambda office: office.remove_policy("boss", "lost"), NotFound),
        (lambda office: office.change_team("boss", "fixed", {}), Conflict),
        (lambda office: office.change_team("boss", "-", {}), InvalidOrder),
        (lambda office: office.change_team("boss", "design", {"policy": "lost"}), NotFound),
        (lambda office: office.change_team("boss", "design", {"user_policy": "lost"}), NotFound),
        (lambda office: office.close_team("boss", "lost"), NotFound),
        (lambda office: office.close_team("boss", "fixed"), Conflict),
        (lambda office: office.reopen_team("boss", "lost"), NotFound),
        (lambda office: office.erasure.erase("boss", " ann"), InvalidOrder),
    ],
)
async def test_forbidden_acts_are_neither_noted_nor_done(attempt: Attempt, refusal: type[Exception]) -> None:
    office = Office()

    with pytest.raises(refusal):
        await attempt(office.administration)

    assert office.book.acts == []


async def test_a_missing_policy_is_answered_with_the_existing_ones() -> None:
    office = Office()

    with pytest.raises(NotFound, match=r"\(parameter 'user_policy'\)\. Policies: fixed, small\.$"):
        await office.administration.change_team("boss", "design", {"user_policy": "lost"})


async def test_declarations_in_the_file_take_precedence() -> None:
    office = Office()
    await office.book.put_policy(Policy(name="fixed", max_n=1))

    directory = await office.administration.reader.read()

    assert directory.policies["fixed"] == FILE.policies["fixed"]
    names = await office.administration.reader.declared_names()
    assert names.has(directory.policies["fixed"])
    assert names.has(directory.teams["fixed"])
    assert not names.has(directory.policies["small"])
    assert not names.has(directory.teams["design"])


async def test_an_act_that_cannot_be_done_was_noted_before() -> None:
    office = Office()
    office.book.is_stuck = True

    with pytest.raises(StateUnavailable):
        await office.administration.put_policy("boss", Policy(name="tight"))

    assert office.book.acts == ["note put_policy"]


async def test_nothing_is_done_that_cannot_be_noted() -> None:
    office = Office()
    office.book.is_gone = True

    with pytest.raises(StateUnavailable):
        await office.administration.put_policy("boss", Policy(name="tight"))

    assert "tight" not in office.book.policies
    assert office.telemetry.facts == []


class DeafBook(FakeRegistrar):
    """Goes away as soon as it has changed something."""

    async def put_policy(self, policy: Policy) -> None:
        await super().put_policy(policy)
        self.is_gone = True


async def test_an_act_is_done_although_it_cannot_be_read_back() -> None:
    office = Office()
    deaf = DeafBook()
    office.callers._book = deaf

    await replace(office.administration, registrar=deaf).put_policy("boss", Policy(name="tight"))

    assert deaf.policies == {"tight": Policy(name="tight")}
    assert "tight" not in office.callers.directory.policies


@pytest.mark.parametrize("is_hash", [True, False])
async def test_an_erasure_covers_every_team(*, is_hash: bool) -> None:
    office = Office()
    ann, bob = office.callers.person("ann"), office.callers.person("bob")
    kept: ApiKey = an_api_key(id="key-2", user="bob")
    office.book.keys = [an_api_key(id="key-1"), kept, an_api_key(id="key-3", team="fixed")]
    office.ledger.entries = [
        a_ledger_entry(user=ann),
        a_ledger_entry(user=bob),
        a_ledger_entry(user=ann, team="jwt"),
    ]
    office.references.keep(
        a_reference("1.png", team="design", user=ann), a_reference("2.png", team="design", user=bob)
    )

    erased = await office.administration.erasure.erase("boss", ann if is_hash else "ann")

    assert erased == Erased(user=ann, keys=2, entries=3)
    assert erased.found_anything
    assert office.book.keys == [kept]
    assert [entry.user for entry in office.ledger.entries] == ["erased", bob, "erased"]
    assert office.references.names() == {"2.png"}
    assert office.telemetry.of(ImageForgotten) == [ImageForgotten(reason="erased")]
    assert office.book.acts[0] == "note erase_person"
    assert "ann" not in str(office.book.notes)
