"""Who calls: tokens, keys, policies and teams, looked up and changed.

Failure behaviour: closed. What cannot be looked up is `StateUnavailable`, never a caller
without limits; a change that may not have been done raises it too.
"""

from dataclasses import dataclass
from typing import Protocol

from service.domain.callers import ApiKey, Directory, Policy, Team
from service.ports.audit import AuditEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a verified token says. *subject* names the user, *expires_s* is an instant since the epoch."""

    subject: str
    team: str | None
    policy: str | None
    expires_s: float


class TokenVerifier(Protocol):
    """Judges the tokens of an identity provider."""

    async def verify(self, token: str) -> Claims:
        """Return what *token* says.

        Raises:
            Unauthenticated: forged, expired, not for us, or not understood.
            StateUnavailable: the provider's keys cannot be had (reason `jwks`).
        """
        ...


class CallerBook(Protocol):
    """Keys, policies and teams as all processes see them."""

    async def find_key(self, token_hash: str) -> ApiKey | None:
        """Return the key whose token hashes to *token_hash*, also an expired one; None when unknown or revoked.

        Raises:
            StateUnavailable: it cannot be looked up now.
        """
        ...

    async def read_directory(self) -> Directory:
        """Return all policies and teams made by admins; raises `StateUnavailable`."""
        ...

    async def revision(self) -> int:
        """Return a number that changes with every change of a key, policy or team; raises `StateUnavailable`."""
        ...


class Registrar(Protocol):
    """Changes of keys, policies and teams. Each takes effect in every process within a second.

    Everything here raises `StateUnavailable` when it may not have been done.
    """

    async def put_policy(self, policy: Policy) -> None:
        """Make a policy or replace it."""
        ...

    async def remove_policy(self, name: str) -> bool:
        """Remove a policy; whether there was one."""
        ...

    async def put_team(self, team: Team) -> None:
        """Make a team or replace it; a closed one can spend nothing from this moment on."""
        ...

    async def add_key(self, key: ApiKey, token_hash: str) -> None:
        """Make a key valid."""
        ...

    async def revoke_key(self, team: str, key_id: str) -> ApiKey | None:
        """Make a key worthless from this moment on; returns it, or None when there is none."""
        ...

    async def list_keys(self, team: str) -> list[ApiKey]:
        """Return the keys of a team, oldest first."""
        ...

    async def note(self, entry: AuditEntry) -> None:
        """Keep what an admin did."""
        ...

    async def read_audit(self, most: int) -> list[AuditEntry]:
        """Return the latest *most* acts, newest first."""
        ...
