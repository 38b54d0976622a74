"""Look up and change tokens, keys, policies and teams.

Failure behaviour: closed. A look-up that fails and a change that may have failed raise
`StateUnavailable`; neither ever yields a caller without limits.
"""

from dataclasses import dataclass
from typing import Protocol

from service.domain.callers import ApiKey, Directory, Policy, Team


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The claims of a verified token. *subject* names the user, *expires_s* is an instant since the epoch."""

    subject: str
    team: str | None
    policy: str | None
    expires_s: float


class TokenVerifier(Protocol):
    """Verifies the tokens of an identity provider."""

    async def verify(self, token: str) -> Claims:
        """Return the claims of *token*.

        Raises:
            Unauthenticated: forged, expired, not for this gateway, or not understood.
            StateUnavailable: the provider's keys cannot be fetched (reason `jwks`).
        """


class CallerBook(Protocol):
    """Keys, policies and teams as all processes see them; every method raises `StateUnavailable`."""

    async def find_key(self, token_hash: str) -> ApiKey | None:
        """Return the key whose token hashes to *token_hash*, even if expired; None if unknown or revoked."""

    async def read_directory(self) -> Directory:
        """Return all policies and teams that admins made."""

    async def revision(self) -> int:
        """Return a number that changes with every change of a key, policy or team."""


class KeyRegistrar(Protocol):
    """Changes a team's keys; every process sees a change within a second."""

    async def add_key(self, key: ApiKey, token_hash: str) -> None:
        """Make a key valid."""

    async def revoke_key(self, team: str, key_id: str) -> ApiKey | None:
        """Revoke a key with immediate effect; returns it, or None if it does not exist."""

    async def list_keys(self, team: str) -> list[ApiKey]:
        """Return the keys of a team, oldest first."""


class DirectoryRegistrar(Protocol):
    """Changes policies and teams; every process sees a change within a second."""

    async def put_policy(self, policy: Policy) -> None:
        """Create or replace a policy."""

    async def remove_policy(self, name: str) -> bool:
        """Remove a policy; returns False if it did not exist."""

    async def put_team(self, team: Team) -> None:
        """Create or replace a team; a closed one cannot spend, with immediate effect."""


class KnownTeams(Protocol):
    """The names of teams, known from their orders and keys."""

    async def teams(self) -> list[str]:
        """Return every team that ever placed an order or got a key, sorted; raises `StateUnavailable`."""
