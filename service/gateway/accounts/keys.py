"""Create, find, list and revoke API keys, for `/admin` and for the command line.

Failure behaviour: closed. An act that ends in `StateUnavailable` may have been done, and may be repeated.
"""

import asyncio
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass

from service.domain.administration import check_expiry, check_team, check_user
from service.domain.callers import TOKEN_PREFIX, ApiKey, Role, Team, hint_of
from service.domain.errors import Conflict, NotFound, StateUnavailable
from service.gateway.accounts.audit import Act, AuditTrail
from service.gateway.accounts.directory import DirectoryReader, check_policy_exists, enumerate_names
from service.gateway.accounts.identify import Callers
from service.gateway.clock_check import ClockCheck
from service.ports.accounts import DirectoryRegistrar, KeyRegistrar
from service.ports.clock import Clock

_KEY_ID = "key_"
_LEAST_OF_ID = 4
_EXPIRED_KEPT_S = 7 * 86_400
"""So long an expired key is listed, and its bearer reads that it has expired."""
_EXPIRY_PAUSE_S = 3600.0
_MOST_EXPIRED = 1000
"""Keys removed at a time: each removal makes all processes read the directory again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """The values of a key to create. *expires_s* is an instant since the epoch, 0 for never."""

    team: str
    user: str
    role: Role = Role.USER
    policy: str | None = None
    expires_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The use cases of keys; *who* acts is a key id, `bootstrap` or `command line`."""

    callers: Callers
    reader: DirectoryReader
    registrar: KeyRegistrar
    teams: DirectoryRegistrar
    trail: AuditTrail
    clock: Clock
    check: ClockCheck

    async def create(self, who: str, new: NewKey) -> tuple[ApiKey, str]:
        """Create a key and return it with its token, which cannot be read again.

        Creates the team if it does not exist.

        Raises:
            InvalidOrder: a name or the expiry is invalid.
            NotFound: the policy does not exist.
            Conflict: the team is closed.
            StateUnavailable: a key may exist without use, as its token was never shown.
        """
        check_team(new.team, param="team")
        check_user(new.user)
        check_expiry(new.expires_s, self.clock.wall_s())
        directory = await self.reader.read()
        names = await self.reader.declared_names()
        check_policy_exists(new.policy, {*directory.policies, *names.policies}, param="policy")
        team = directory.teams.get(new.team)
        if team is not None and team.is_closed:
            raise Conflict(f"The team '{new.team}' is closed. Reopen it first.")
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        key = ApiKey(
            id=f"{_KEY_ID}{secrets.token_hex(8)}",
            hint=hint_of(token),
            created_s=int(self.clock.wall_s()),
            secret_mark=self.callers.credentials.secret_mark(),
            **asdict(new),
        )
        details = {
            "user": self.callers.person(key.user),
            "role": key.role,
            "policy": key.policy,
            "expires_at": key.expires_s or None,
        }
        await self.trail.note(who, Act.CREATE_KEY, f"{key.team}/{key.id}", details)
        if team is None and new.team not in names.teams:
            await self.teams.put_team(Team(name=new.team))
        await self.registrar.add_key(key, self.callers.credentials.hash_token(token))
        await self.callers.take_effect()
        return key, token

    async def revoke(self, who: str, team: str, key_id: str) -> ApiKey:
        """Revoke a key with immediate effect.

        Raises:
            NotFound: the team has no such key.
        """
        if all(key.id != key_id for key in await self.registrar.list_keys(team)):
            raise NotFound(f"The team '{team[:100]}' has no key '{key_id[:100]}'.")
        await self.trail.note(who, Act.REVOKE_KEY, f"{team}/{key_id}")
        key = await self.registrar.revoke_key(team, key_id)
        await self.callers.take_effect()
        if key is None:
            raise NotFound(f"The key '{key_id}' has just been revoked by another admin.")
        return key

    async def find(self, team: str, text: str) -> ApiKey:
        """Return the key of *team* whose id is *text*, or the only one whose id begins with it.

        Raises:
            NotFound: no key matches, or *text* is too short.
            Conflict: several keys match.
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
                f"Several keys of the team '{team}' begin with '{text}': {enumerate_names(found)}. Give more of the id."
            )
        return keys[found[0]]

    async def list(self, team: str | None = None) -> list[ApiKey]:
        """Return the keys of *team*, or all keys, oldest first."""
        names = [team] if team is not None else [each.name for each in await self.reader.teams()]
        keys = [key for name in names for key in await self.registrar.list_keys(name)]
        return sorted(keys, key=lambda key: (key.created_s, key.id))

    async def expire_forever(self) -> None:
        """Remove keys a week after they expired, at most 1000 an hour; several processes may do it at once."""
        while True:
            with suppress(StateUnavailable):
                await self._remove_expired()
            await asyncio.sleep(_EXPIRY_PAUSE_S)

    async def _remove_expired(self) -> None:
        if not await self.check.agrees():
            return
        before_s = self.clock.wall_s() - _EXPIRED_KEPT_S
        expired = [key for key in await self.list() if 0 < key.expires_s <= before_s]
        for key in expired[:_MOST_EXPIRED]:
            await self.registrar.revoke_key(key.team, key.id)

    def has_its_secret(self, key: ApiKey) -> bool | None:
        """Tell if the secret of *key* is still listed, without which the key is refused; None if unknown."""
        return self.callers.credentials.takes_keys_of(key.secret_mark)
