"""Keys, policies and teams that can be changed, and a ledger in memory."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from service.domain.callers import ApiKey, DeclaredNames, Directory, Policy, Team
from service.domain.errors import StateUnavailable
from service.ports.audit import AuditEntry
from service.ports.ledger import LedgerEntry
from tests.fakes.callers import FakeCallerBook


class FakeRegistrar(FakeCallerBook):
    """Implements the registrars of `ports.accounts`, the `CallerBook` that reads what they wrote, and `ports.audit`.

    *acts* are the changes in their order, notes among them. *is_stuck* notes, and changes nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[ApiKey] = []
        self.policies: dict[str, Policy] = {}
        self.teams: dict[str, Team] = {}
        self.notes: list[AuditEntry] = []
        self.acts: list[str] = []
        self.is_stuck = False
        self.is_overtaken = False

    async def put_policy(self, policy: Policy) -> None:
        self._change("put_policy")
        self.policies[policy.name] = policy
        self._publish()

    async def remove_policy(self, name: str) -> bool:
        self._change("remove_policy")
        found = self.policies.pop(name, None)
        self._publish()
        return found is not None

    async def put_team(self, team: Team) -> None:
        self._change("put_team")
        self.teams[team.name] = team
        self._publish()

    async def add_key(self, key: ApiKey, token_hash: str) -> None:
        self._change("add_key")
        self.keys.append(key)
        self._keys[token_hash] = key
        self._revision += 1

    async def revoke_key(self, team: str, key_id: str) -> ApiKey | None:
        """Somebody else was faster where *is_overtaken*."""
        self._change("revoke_key")
        found = next((key for key in self.keys if (key.team, key.id) == (team, key_id)), None)
        self.keys = [key for key in self.keys if key is not found]
        self.revoke(key_id)
        return None if self.is_overtaken else found

    async def list_keys(self, team: str) -> list[ApiKey]:
        self._answer()
        return [key for key in self.keys if key.team == team]

    async def note(self, entry: AuditEntry) -> None:
        self._answer()
        self.acts.append(f"note {entry.act}")
        self.notes.insert(0, entry)

    async def read_audit(self, most: int) -> list[AuditEntry]:
        self._answer()
        return self.notes[:most]

    def _change(self, act: str) -> None:
        self._answer()
        if self.is_stuck:
            raise StateUnavailable("timeout")
        self.acts.append(act)

    def _publish(self) -> None:
        self.declare(Directory(policies=dict(self.policies), teams=dict(self.teams)))


class FakeLedger:
    """Implements all of `ports.ledger`, and `ports.accounts.KnownTeams`."""

    def __init__(self, *entries: LedgerEntry) -> None:
        self.entries = list(entries)

    async def read(
        self, team: str, days: Sequence[date], user: str | None = None
    ) -> AsyncIterator[LedgerEntry]:
        wanted = {day.isoformat() for day in days}
        for entry in list(self.entries):
            if entry.team == team and entry.day in wanted and user in (None, entry.user):
                yield entry

    async def teams(self) -> list[str]:
        return sorted({entry.team for entry in self.entries})

    async def erase(self, team: str, user: str) -> int:
        theirs = [entry for entry in self.entries if (entry.team, entry.user) == (team, user)]
        self.entries = [replace(entry, user="erased") if entry in theirs else entry for entry in self.entries]
        return len(theirs)

    async def compact(self) -> None:
        """Nothing of what was erased is kept anywhere else."""


class FakeNotices:
    """Implements `SecretChecks` and `Declarations` of `ports.processes` for a gateway whose file declares nothing more than this process knows."""

    def __init__(self) -> None:
        self.check: str | None = None
        self.declared = DeclaredNames()

    async def read_secret_check(self) -> str | None:
        return self.check

    async def put_secret_check(self, check: str) -> None:
        self.check = check

    async def read_declared(self) -> DeclaredNames:
        return self.declared

    async def put_declared(self, names: DeclaredNames) -> None:
        self.declared = names


def a_ledger_entry(**override: Any) -> LedgerEntry:
    given: dict[str, Any] = {
        "day": "2026-11-20",
        "team": "design",
        "user": "a" * 32,
        "model": "gpt-image-2.6-flare",
        "backend": "openai",
        "realm": "live",
        "outcome": "made",
        "images": 1,
        "microusd": 40_000,
        "unpriced": 0,
    }
    return LedgerEntry(**{**given, **override})
