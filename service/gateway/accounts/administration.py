"""Manage keys, teams, policies and people, for `/admin` and for the command line.

Every act is checked, then noted, then done: no act lacks its line in the audit, and a
line whose act failed was followed by an error. Lines hold names of teams, policies and
keys, and hashes of people; never a token or a person's name.
Failure behaviour: closed. An act that ends in `StateUnavailable` may be repeated.
"""

import contextlib
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from service.domain.administration import (
    check_expiry,
    check_name,
    check_policy,
    check_team,
    check_user,
    is_person_hash,
)
from service.domain.callers import TOKEN_PREFIX, ApiKey, DeclaredNames, Directory, Policy, Role, Team, hint_of
from service.domain.errors import Conflict, NotFound, StateUnavailable
from service.gateway.accounts.audit import Act, AuditTrail
from service.gateway.accounts.identify import Callers
from service.ports.accounts import CallerBook, Registrar
from service.ports.audit import AuditEntry
from service.ports.clock import Clock
from service.ports.ledger import Ledger
from service.ports.processes import Notices
from service.ports.references import References
from service.ports.telemetry import ImageForgotten, Telemetry

_KEY_ID = "key_"
_LEAST_OF_ID = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """The values of a key to create. *expires_s* is an instant since the epoch, 0 for never."""

    team: str
    user: str
    role: Role = Role.USER
    policy: str | None = None
    expires_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """The result of erasing *user*, a hash: *keys* revoked, *entries* of ledgers, limits and pools changed."""

    user: str
    keys: int
    entries: int

    @property
    def found_anything(self) -> bool:
        """Tell if the gateway knew anything about that person."""
        return bool(self.keys or self.entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamChanges:
    """Changes to a team; *fields* (of `Team`) that are left out keep their values."""

    name: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Administration:
    """The use case behind both front ends; *who* acts is a key id, `bootstrap` or `command line`.

    *declared* and *models* are known in this process; a command may run without the gateway's
    file and reads its names from *notices*.
    """

    callers: Callers
    book: CallerBook
    registrar: Registrar
    ledger: Ledger
    references: References
    notices: Notices
    declared: Directory
    models: frozenset[str]
    clock: Clock
    telemetry: Telemetry

    async def directory(self) -> Directory:
        """Return all current policies and teams; raises `StateUnavailable`."""
        made = await self.book.read_directory()
        return Directory(
            policies={**made.policies, **self.declared.policies},
            teams={**made.teams, **self.declared.teams},
        )

    async def declared_names(self) -> DeclaredNames:
        """Return the names in the configuration file, which admins cannot change; raises `StateUnavailable`."""
        here = DeclaredNames(
            policies=frozenset(self.declared.policies),
            teams=frozenset(self.declared.teams),
            models=self.models,
        )
        return here.joined(await self.notices.read_declared())

    async def teams(self) -> list[Team]:
        """Return every team, including those known only from orders or from the gateway's file.

        Raises:
            StateUnavailable: they cannot be read now.
        """
        known = (await self.directory()).teams
        names = {*known, *await self.ledger.teams(), *(await self.declared_names()).teams}
        return [known.get(name) or Team(name=name) for name in sorted(names)]

    async def create_key(self, who: str, new: NewKey) -> tuple[ApiKey, str]:
        """Create a key and return it with its token, which cannot be read again.

        Creates the team if it does not exist.

        Raises:
            InvalidOrder: a name or the expiry is invalid.
            NotFound: the policy does not exist.
            Conflict: the team is closed.
            StateUnavailable: a key may exist whose token was never shown; it is worthless.
        """
        check_team(new.team, param="team")
        check_user(new.user)
        check_expiry(new.expires_s, self.clock.wall_s())
        directory = await self.directory()
        names = await self.declared_names()
        _check_policy_is_there(new.policy, {*directory.policies, *names.policies}, param="policy")
        team = directory.teams.get(new.team)
        if team is not None and team.is_closed:
            raise Conflict(f"The team '{new.team}' is closed. Reopen it first.")
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        key = ApiKey(
            id=f"{_KEY_ID}{secrets.token_hex(8)}",
            team=new.team,
            user=new.user,
            role=new.role,
            hint=hint_of(token),
            created_s=int(self.clock.wall_s()),
            policy=new.policy,
            expires_s=new.expires_s,
            secret_mark=self.callers.secret_mark(),
        )
        details = {
            "user": self.callers.person(key.user),
            "role": key.role,
            "policy": key.policy,
            "expires_at": key.expires_s or None,
        }
        await self._trail.note(who, Act.CREATE_KEY, f"{key.team}/{key.id}", details)
        if team is None and new.team not in names.teams:
            await self.registrar.put_team(Team(name=new.team))
        await self.registrar.add_key(key, self.callers.hash_token(token))
        await self._look_again()
        return key, token

    async def revoke_key(self, who: str, team: str, key_id: str) -> ApiKey:
        """Revoke a key with immediate effect.

        Raises:
            NotFound: the team has no such key.
            StateUnavailable: it may still be valid.
        """
        if all(key.id != key_id for key in await self.registrar.list_keys(team)):
            raise NotFound(f"The team '{team[:100]}' has no key '{key_id[:100]}'.")
        await self._trail.note(who, Act.REVOKE_KEY, f"{team}/{key_id}")
        key = await self.registrar.revoke_key(team, key_id)
        await self._look_again()
        if key is None:
            raise NotFound(f"The key '{key_id}' has just been revoked by somebody else.")
        return key

    async def find_key(self, team: str, text: str) -> ApiKey:
        """Return the key of *team* whose id is *text*, or the only one whose id begins with it.

        Raises:
            NotFound: no key matches, or *text* is too short to tell.
            Conflict: several keys match.
            StateUnavailable: they cannot be read now.
        """
        keys = {key.id: key for key in await self.registrar.list_keys(team)}
        if text in keys:
            return keys[text]
        advice = f" Of an id, give at least {_LEAST_OF_ID} characters after '{_KEY_ID}'."
        found: list[str] = []
        if text.startswith(_KEY_ID) and len(text) >= len(_KEY_ID) + _LEAST_OF_ID:
            advice, found = "", [key_id for key_id in keys if key_id.startswith(text)]
        if not found:
            raise NotFound(f"The team '{team[:100]}' has no key '{text[:100]}'.{advice}")
        if len(found) > 1:
            raise Conflict(
                f"Several keys of the team '{team}' begin with '{text}': {_enumerate(found)}. Give more of the id."
            )
        return keys[found[0]]

    async def list_keys(self, team: str | None = None) -> list[ApiKey]:
        """Return the keys of *team*, or all keys, oldest first; raises `StateUnavailable`."""
        names = [team] if team is not None else [each.name for each in await self.teams()]
        keys = [key for name in names for key in await self.registrar.list_keys(name)]
        return sorted(keys, key=lambda key: (key.created_s, key.id))

    def has_its_secret(self, key: ApiKey) -> bool | None:
        """Tell if the secret of *key* is still listed: without it the key is refused; None: not known."""
        return self.callers.takes_keys_of(key.secret_mark)

    async def put_policy(self, who: str, policy: Policy) -> None:
        """Create or replace a policy.

        Raises:
            InvalidOrder: one of its values is invalid.
            Conflict: the configuration file declares it.
            StateUnavailable: it may have been done.
        """
        names = await self.declared_names()
        check_policy(policy, names.models)
        _check_undeclared(policy, names)
        await self._trail.note(who, Act.PUT_POLICY, policy.name, _limits_of(policy))
        await self.registrar.put_policy(policy)
        await self._look_again()

    async def remove_policy(self, who: str, name: str) -> None:
        """Remove an unused policy.

        Raises:
            NotFound: it does not exist.
            Conflict: the configuration file declares it, or a team or a key uses it.
            StateUnavailable: it may have been done.
        """
        directory = await self.directory()
        _check_undeclared(Policy(name=name), await self.declared_names())
        if name not in directory.policies:
            raise NotFound(f"There is no policy '{name[:100]}'.")
        users = [
            f"team '{team.name}'"
            for team in directory.teams.values()
            if name in (team.policy, team.user_policy)
        ]
        users += [
            f"key '{key.id}' of team '{key.team}'" for key in await self.list_keys() if key.policy == name
        ]
        if users:
            raise Conflict(f"The policy '{name}' is in use by {_enumerate(users)}. Give them another first.")
        await self._trail.note(who, Act.REMOVE_POLICY, name)
        await self.registrar.remove_policy(name)
        await self._look_again()

    async def put_team(self, who: str, team: Team) -> None:
        """Create or replace a team.

        Raises:
            InvalidOrder: its name is invalid.
            NotFound: a policy does not exist.
            Conflict: the configuration file declares it.
            StateUnavailable: it may have been done.
        """
        await self._put_team(who, Act.PUT_TEAM, team)

    async def change_team(self, who: str, changes: TeamChanges) -> Team:
        """Create a team, or change the given fields; returns it. Raises as `put_team` does."""
        teams = (await self.directory()).teams
        team = replace(teams.get(changes.name, Team(name=changes.name)), **changes.fields)
        await self._put_team(who, Act.PUT_TEAM, team)
        return team

    async def close_team(self, who: str, name: str) -> Team:
        """Stop a team from spending, with immediate effect; its keys, links and ledger stay.

        Raises:
            NotFound: it does not exist.
            Conflict: the configuration file declares it.
            StateUnavailable: it may have been done.
        """
        team = replace(await self._find_team(name), is_closed=True)
        await self._put_team(who, Act.CLOSE_TEAM, team)
        return team

    async def reopen_team(self, who: str, name: str) -> Team:
        """Undo `close_team`; raises the same."""
        team = replace(await self._find_team(name), is_closed=False)
        await self._put_team(who, Act.REOPEN_TEAM, team)
        return team

    async def erase_person(self, who: str, person: str) -> Erased:
        """Erase *person*, a name or a hash: their keys, their images, and their name in every ledger.

        An order still under way books under the hash again: revoke the keys, let it finish,
        and erase once more to be sure.

        Raises:
            InvalidOrder: *person* is neither a name nor a hash.
            StateUnavailable: some data may be left; repeat the call.
        """
        user = self.hash_of(person)
        await self._trail.note(who, Act.ERASE_PERSON, user)
        revoked, changed = 0, 0
        for team in await self.teams():
            for key in await self.registrar.list_keys(team.name):
                if self.callers.person(key.user) == user:
                    revoked += await self.registrar.revoke_key(team.name, key.id) is not None
            changed += await self._forget_images(team.name, user)
            changed += await self.ledger.erase(team.name, user)
        await self.ledger.compact()
        await self._look_again()
        return Erased(user=user, keys=revoked, entries=changed)

    async def _forget_images(self, team: str, user: str) -> int:
        """Forget the images *user* ordered: their references name the user, and their links belong to them."""
        forgotten = 0
        async for reference in self.references.scan(team):
            if reference.user == user and await self.references.forget(team, reference.name):
                self.telemetry.record(ImageForgotten(reason="erased"))
                forgotten += 1
        return forgotten

    def hash_of(self, person: str) -> str:
        """Return the hash of *person*, who may be given as a hash already; raises `InvalidOrder`."""
        if is_person_hash(person):
            return person
        check_user(person)
        return self.callers.person(person)

    async def audit(self, most: int) -> list[AuditEntry]:
        """Return the latest *most* acts, newest first; raises `StateUnavailable`."""
        return await self.registrar.read_audit(most)

    async def _put_team(self, who: str, act: Act, team: Team) -> None:
        # Existing teams, of earlier versions or of callers without credentials, can be closed.
        (check_team if act is Act.PUT_TEAM else check_name)(team.name, param="name")
        names = await self.declared_names()
        _check_undeclared(team, names)
        directory = await self.directory()
        policies = {*directory.policies, *names.policies}
        _check_policy_is_there(team.policy, policies, param="policy")
        _check_policy_is_there(team.user_policy, policies, param="user_policy")
        before = directory.teams.get(team.name, Team(name=team.name))
        await self._trail.note(who, act, team.name, _changes_of(before, team))
        await self.registrar.put_team(team)
        await self._look_again()

    async def _look_again(self) -> None:
        """Apply the change in this process at once; the others follow within a second."""
        with contextlib.suppress(StateUnavailable):
            await self.callers.look_again()

    async def _find_team(self, name: str) -> Team:
        for team in await self.teams():
            if team.name == name:
                return team
        raise NotFound(f"There is no team '{name[:100]}'.")

    @property
    def _trail(self) -> AuditTrail:
        return AuditTrail(self.registrar, self.clock, self.telemetry)


def _check_undeclared(entry: Policy | Team, names: DeclaredNames) -> None:
    if names.has(entry):
        kind = "policy" if isinstance(entry, Policy) else "team"
        raise Conflict(
            f"The {kind} '{entry.name}' is declared in the configuration file of the gateway: "
            "change it there and restart."
        )


def _check_policy_is_there(name: str | None, policies: Collection[str], *, param: str) -> None:
    if name is not None and name not in policies:
        known = ", ".join(sorted(policies)) or "none yet"
        raise NotFound(f"There is no policy '{name[:100]}' (parameter '{param}'). Policies: {known}.")


def _changes_of(before: Team, after: Team) -> dict[str, object]:
    """Return the differences as `old->new`."""
    pairs = {
        "policy": (before.policy or "none", after.policy or "none"),
        "user_policy": (before.user_policy or "default", after.user_policy or "default"),
        "closed": ("yes" if before.is_closed else "no", "yes" if after.is_closed else "no"),
    }
    return {name: f"{old}->{new}" for name, (old, new) in pairs.items() if old != new}


def _limits_of(policy: Policy) -> dict[str, object]:
    """Return the limits of a policy that differ from the default."""
    said = asdict(policy)
    plain = asdict(Policy())
    return {
        name: ",".join(value) if isinstance(value, tuple) else value
        for name, value in said.items()
        if name != "name" and value != plain[name]
    }


def _enumerate(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
