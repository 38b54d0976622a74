"""Manage policies and teams, for `/admin` and for the command line; with keys and erasure beside them.

Every act is checked, then noted in the audit, then done. Lines of the audit hold names of teams, policies
and keys, and hashes of people; never a token or a person's name.
Failure behaviour: closed. An act that ends in `StateUnavailable` may have been done, and may be repeated.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from service.domain.administration import check_name, check_policy, check_team
from service.domain.callers import DeclaredNames, Policy, Team
from service.domain.errors import Conflict, NotFound
from service.gateway.accounts.audit import Act, AuditTrail
from service.gateway.accounts.directory import DirectoryReader, check_policy_exists, enumerate_names
from service.gateway.accounts.erasure import Erasure
from service.gateway.accounts.identify import Callers
from service.gateway.accounts.keys import Keys
from service.ports.accounts import DirectoryRegistrar
from service.ports.audit import AuditEntry, AuditReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Administration:
    """The use cases behind both front ends; *who* acts is a key id, `bootstrap` or `command line`."""

    callers: Callers
    reader: DirectoryReader
    registrar: DirectoryRegistrar
    keys: Keys
    erasure: Erasure
    trail: AuditTrail
    acts: AuditReader

    async def put_policy(self, who: str, policy: Policy) -> None:
        """Create or replace a policy.

        Raises:
            InvalidOrder: one of its values is invalid.
            Conflict: the configuration file declares it.
        """
        names = await self.reader.declared_names()
        check_policy(policy, names.models)
        _check_undeclared(policy, names)
        await self.trail.note(who, Act.PUT_POLICY, policy.name, _limits_of(policy))
        await self.registrar.put_policy(policy)
        await self.callers.take_effect()

    async def remove_policy(self, who: str, name: str) -> None:
        """Remove an unused policy.

        Raises:
            NotFound: it does not exist.
            Conflict: the configuration file declares it, or a team or a key uses it.
        """
        directory = await self.reader.read()
        _check_undeclared(Policy(name=name), await self.reader.declared_names())
        if name not in directory.policies:
            raise NotFound(f"There is no policy '{name[:100]}'.")
        users = [
            f"team '{team.name}'"
            for team in directory.teams.values()
            if name in (team.policy, team.user_policy)
        ]
        users += [
            f"key '{key.id}' of team '{key.team}'" for key in await self.keys.list() if key.policy == name
        ]
        if users:
            raise Conflict(
                f"The policy '{name}' is in use by {enumerate_names(users)}. Give them another first."
            )
        await self.trail.note(who, Act.REMOVE_POLICY, name)
        await self.registrar.remove_policy(name)
        await self.callers.take_effect()

    async def change_team(self, who: str, name: str, fields: Mapping[str, Any]) -> Team:
        """Create a team, or change the given *fields* of `Team`; returns it.

        Raises:
            InvalidOrder: its name is invalid.
            NotFound: a policy does not exist.
            Conflict: the configuration file declares it.
        """
        team = (await self.reader.read()).teams.get(name, Team(name=name))
        return await self._put_team(who, Act.PUT_TEAM, replace(team, **fields))

    async def close_team(self, who: str, name: str) -> Team:
        """Close a team with immediate effect: its credentials open nothing; its links and ledger stay.

        Raises:
            NotFound: it does not exist.
            Conflict: the configuration file declares it.
        """
        return await self._put_team(who, Act.CLOSE_TEAM, replace(await self._find_team(name), is_closed=True))

    async def reopen_team(self, who: str, name: str) -> Team:
        """Undo `close_team`; raises the same."""
        return await self._put_team(
            who, Act.REOPEN_TEAM, replace(await self._find_team(name), is_closed=False)
        )

    async def audit(self, most: int) -> list[AuditEntry]:
        """Return the latest *most* acts, newest first."""
        return await self.acts.read_audit(most)

    async def _put_team(self, who: str, act: Act, team: Team) -> Team:
        # Reserved teams exist for earlier versions and callers without credentials, and can be closed.
        (check_team if act is Act.PUT_TEAM else check_name)(team.name, param="name")
        names = await self.reader.declared_names()
        _check_undeclared(team, names)
        directory = await self.reader.read()
        policies = {*directory.policies, *names.policies}
        check_policy_exists(team.policy, policies, param="policy")
        check_policy_exists(team.user_policy, policies, param="user_policy")
        before = directory.teams.get(team.name, Team(name=team.name))
        await self.trail.note(who, act, team.name, _changes_of(before, team))
        await self.registrar.put_team(team)
        await self.callers.take_effect()
        return team

    async def _find_team(self, name: str) -> Team:
        for team in await self.reader.teams():
            if team.name == name:
                return team
        raise NotFound(f"There is no team '{name[:100]}'.")


def _check_undeclared(entry: Policy | Team, names: DeclaredNames) -> None:
    if names.has(entry):
        kind = "policy" if isinstance(entry, Policy) else "team"
        raise Conflict(
            f"The {kind} '{entry.name}' is declared in the configuration file of the gateway: "
            "change it there and restart."
        )


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
    defaults = asdict(Policy())
    return {
        name: ",".join(value) if isinstance(value, tuple) else value
        for name, value in asdict(policy).items()
        if name != "name" and value != defaults[name]
    }
