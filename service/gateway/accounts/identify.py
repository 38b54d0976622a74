"""Identify callers: from credentials to a caller and every limit it counts against.

Verified credentials are remembered, bounded, by a keyed hash of the whole token, and looked up again after
a change of any key, policy or team; a watcher checks for changes twice a second. A text that cannot be a
credential is refused without a look-up. Failure behaviour: while Redis is away, known callers stay known,
and others get `StateUnavailable`. Revocation does not rest on this alone: `begin` checks the key, too.
"""

import asyncio
import contextlib
import hmac
from dataclasses import dataclass, replace

from cachetools import LRUCache, TTLCache

from service.domain.administration import check_user, is_person_hash
from service.domain.callers import (
    ADMIN_TEAM,
    NO_POLICY,
    OPEN_TEAM,
    RESERVED_TEAMS,
    ApiKey,
    Caller,
    Directory,
    Policy,
    Role,
    Scope,
    is_name,
    is_token,
)
from service.domain.errors import PermissionDenied, StateUnavailable, Unauthenticated
from service.domain.fingerprint import keyed_hash
from service.gateway.accounts.credentials import Credentials
from service.ports.accounts import CallerBook, TokenVerifier
from service.ports.clock import Clock

JWT_TEAM = "default"
"""The team of a token without one."""

LOOK_PAUSE_S = 0.5
_MOST = 20_000
_UNKNOWN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The content of a caller's credentials. *user* is None in open mode, where the request may name one.

    *key_hint* is the part of a key that may be shown, *user_policy* and *key_policy* are names, *expires_s*
    is an instant since the epoch, 0 for never.
    """

    team: str
    user: str | None
    role: Role
    key_id: str | None = None
    key_hint: str | None = None
    user_policy: str | None = None
    key_policy: str | None = None
    expires_s: float = 0.0


ANYONE = Identity(team=OPEN_TEAM, user=None, role=Role.USER)


@dataclass(frozen=True, slots=True)
class _Known:
    """The identity behind a token, and the hash its key is stored under."""

    identity: Identity
    kept_hash: str


class Callers:
    """Identifies callers and collects their policies."""

    def __init__(
        self,
        *,
        credentials: Credentials,
        book: CallerBook,
        verifier: TokenVerifier | None,
        declared: Directory,
        default_policy: Policy,
        clock: Clock,
    ) -> None:
        self.credentials = credentials
        self._admin_hash = credentials.admin_hash()
        self._book = book
        self._verifier = verifier
        self._declared = declared
        self._default_policy = default_policy
        self._clock = clock
        self._directory = declared
        self._revision: int | None = None
        self._known: LRUCache[str, _Known] = LRUCache(_MOST)
        self._to_recall: LRUCache[str, str] = LRUCache(_MOST)
        self._callers: LRUCache[str | None, tuple[Identity, Caller]] = LRUCache(_MOST)
        self._unknown: TTLCache[str, None] = TTLCache(_MOST, _UNKNOWN_S, clock.monotonic_s)
        self._looking: dict[str, asyncio.Future[_Known | StateUnavailable | None]] = {}

    @property
    def directory(self) -> Directory:
        """All current policies and teams."""
        return self._directory

    async def identify(self, token: str | None, *, afresh: bool = False) -> Identity:
        """Return the identity behind *token*; *afresh* always looks it up, for the acts of admins.

        Raises:
            Unauthenticated: missing, malformed, unknown, revoked or expired.
            PermissionDenied: the team is closed.
            StateUnavailable: it cannot be looked up now.
        """
        token_hash = self.credentials.hash_token(token) if token is not None else ""
        # Hashes of equal length, compared in constant time, reveal neither length nor prefix.
        if self._admin_hash is not None and hmac.compare_digest(token_hash, self._admin_hash):
            return Identity(team=ADMIN_TEAM, user=self.person("admin"), role=Role.ADMIN)
        identity = await self._find(token, token_hash, afresh=afresh)
        if afresh and identity.key_id is not None:
            await self.look_again()
        self._refuse_closed(identity)
        return identity

    def caller_of(self, identity: Identity, named_user: str | None, holder: str = "") -> Caller:
        """Return the caller; *named_user* is the request's own `user`, trusted from services and in open mode.

        Raises:
            PermissionDenied: the team is closed, or one of its policies is missing.
            StateUnavailable: the team may have limits or be closed, and has not been read yet.
        """
        team = self._directory.teams.get(identity.team)
        if team is None and self._revision is None and identity.team != OPEN_TEAM:
            raise StateUnavailable("directory")
        # Again: a long upload lies between.
        self._refuse_closed(identity)
        user = identity.user
        if named_user and (user is None or identity.role is Role.SERVICE):
            user = self.person(named_user)
        known = self._callers.get(identity.key_id)
        # Another identity of the key is one of another revision.
        if known and known[0] is identity and (known[1].user, known[1].holder) == (user, holder):
            return known[1]
        name = identity.user_policy or (team.user_policy if team else None)
        policy = self._policy(name, self._default_policy)
        scopes = [Scope(name="user", key=user or "anonymous", policy=policy)]
        if identity.key_id is not None:
            policy = self._policy(identity.key_policy, NO_POLICY)
            scopes.append(Scope(name="key", key=identity.key_id, policy=policy))
        if team is not None or identity.team != OPEN_TEAM:
            policy = self._policy(team.policy if team else None, NO_POLICY)
            scopes.append(Scope(name="team", key=identity.team, policy=policy))
        caller = Caller(
            team=identity.team,
            user=user or "anonymous",
            scopes=tuple(scopes),
            key_id=identity.key_id,
            role=identity.role,
            holder=holder,
        )
        if identity.key_id is not None:
            self._callers[identity.key_id] = (identity, caller)
        return caller

    def person(self, name: str) -> str:
        """Return the hash that stands for the person *name*, for every kind of credentials."""
        return self.credentials.person(name)

    def hash_of(self, person: str) -> str:
        """Return the hash of *person*, a name or a hash; raises `InvalidOrder`."""
        if is_person_hash(person):
            return person
        check_user(person)
        return self.person(person)

    async def look_again(self) -> None:
        """Forget all keys and read the directory after a change in any process; raises `StateUnavailable`."""
        revision = await self._book.revision()
        if revision == self._revision:
            return
        self._directory = (await self._book.read_directory()).under(self._declared)
        self._to_recall.update({token_hash: known.kept_hash for token_hash, known in self._known.items()})
        self._known.clear()
        self._callers.clear()
        self._unknown.clear()
        self._looking.clear()
        self._revision = revision

    async def take_effect(self) -> None:
        """Apply a change in this process at once; the others follow within a second."""
        with contextlib.suppress(StateUnavailable):
            await self.look_again()

    async def watch_forever(self) -> None:
        """Look for changes twice a second; without Redis, known callers stay known."""
        while True:
            with contextlib.suppress(StateUnavailable):
                await self.look_again()
                await self._recall()
            await asyncio.sleep(LOOK_PAUSE_S)

    async def _find(self, token: str | None, token_hash: str, *, afresh: bool) -> Identity:
        if self.credentials.is_open:
            return ANYONE if token is None else replace(ANYONE, user=self.credentials.anonym(token))
        if token is None:
            raise Unauthenticated(
                "You didn't provide an API key. Send it in the header: Authorization: Bearer YOUR_KEY."
            )
        if self.credentials.takes_keys and is_token(token):
            return await self._find_key(token, token_hash, afresh=afresh)
        if self._verifier is not None and token.count(".") == 2:
            return await self._verify(self._verifier, token)
        raise Unauthenticated("Incorrect API key provided. Ask an operator of this gateway for one.")

    async def _recall(self) -> None:
        """Look up forgotten keys again: Redis may be away at their next use."""
        while self._to_recall:
            token_hash, kept_hash = self._to_recall.popitem()
            if token_hash in self._known:
                continue
            revision = self._revision
            try:
                key = await self._book.find_key(kept_hash)
            except StateUnavailable:
                self._to_recall[token_hash] = kept_hash
                raise
            if key is not None and revision == self._revision:
                self._known[token_hash] = _Known(self._identity_of(key), kept_hash)

    async def _find_key(self, token: str, token_hash: str, *, afresh: bool) -> Identity:
        known = None if afresh else self._known.get(token_hash)
        if known is None and token_hash not in self._unknown:
            look_up = self._look_up if afresh else self._look_up_together
            known = await look_up(token, token_hash)
        if known is None:
            raise Unauthenticated("Incorrect API key provided. It is unknown, or it was revoked.")
        if 0 < known.identity.expires_s <= self._clock.wall_s():
            raise Unauthenticated("This API key has expired. Ask an operator of this gateway for a new one.")
        return known.identity

    async def _look_up_together(self, token: str, token_hash: str) -> _Known | None:
        """Look a token up once for all requests that bring it meanwhile: a burst must not wait for Redis one by one."""
        while (looking := self._looking.get(token_hash)) is not None:
            await asyncio.wait([looking])
            # If whoever looked has left, the next looks.
            if not looking.cancelled():
                found = looking.result()
                if isinstance(found, StateUnavailable):
                    # Each its own: one that is raised again collects the frames of each raise.
                    raise StateUnavailable(found.reason)
                return found
        looking = self._looking[token_hash] = asyncio.get_running_loop().create_future()
        try:
            known = await self._look_up(token, token_hash)
        except StateUnavailable as error:
            looking.set_result(error)
            raise
        else:
            looking.set_result(known)
            return known
        finally:
            looking.cancel()
            if self._looking.get(token_hash) is looking:
                del self._looking[token_hash]

    async def _look_up(self, token: str, token_hash: str) -> _Known | None:
        """Find and remember the key of *token*, trying every secret; remember an unknown token, too."""
        revision = self._revision
        for token_key in self.credentials.token_keys:
            kept_hash = keyed_hash(token_key, token)
            key = await self._book.find_key(kept_hash)
            if key is None:
                continue
            known = _Known(self._identity_of(key), kept_hash)
            if key.policy is not None and key.policy not in self._directory.policies:
                # Created a moment ago in another process, together with its policy.
                await self.look_again()
            if revision == self._revision:
                self._known[token_hash] = known
            return known
        if revision == self._revision:
            self._unknown[token_hash] = None
        return None

    def _identity_of(self, key: ApiKey) -> Identity:
        return Identity(
            team=key.team,
            user=self.person(key.user),
            role=key.role,
            key_id=key.id,
            key_hint=key.hint,
            key_policy=key.policy,
            expires_s=key.expires_s,
        )

    async def _verify(self, verifier: TokenVerifier, token: str) -> Identity:
        claims = await verifier.verify(token)
        team = claims.team or JWT_TEAM
        if not is_name(team):
            raise Unauthenticated("The token names a team that cannot be one: 1 to 40 of a-z, 0-9 and '-'.")
        if team in RESERVED_TEAMS:
            raise Unauthenticated(
                f"The token names the team '{team}', which is reserved for the gateway itself."
            )
        if claims.policy is not None and not is_name(claims.policy):
            raise Unauthenticated("The token names a policy that cannot be one: 1 to 40 of a-z, 0-9 and '-'.")
        return Identity(
            team=team,
            user=self.person(claims.subject),
            role=Role.USER,
            user_policy=claims.policy,
            expires_s=claims.expires_s,
        )

    def _refuse_closed(self, identity: Identity) -> None:
        team = self._directory.teams.get(identity.team)
        if team is not None and team.is_closed:
            raise PermissionDenied("The team of these credentials is closed.")

    def _policy(self, name: str | None, otherwise: Policy) -> Policy:
        """Return the policy *name*, or *otherwise* for None; a missing policy must not lift its limits."""
        if name is None:
            return otherwise
        policy = self._directory.policies.get(name)
        if policy is None:
            raise PermissionDenied(f"The policy '{name}' of these credentials does not exist.")
        return policy
