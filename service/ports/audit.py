"""Store and read the acts of admins; raises `StateUnavailable` if an act may be lost."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One act of an admin: the actor (a key id, `bootstrap` or `command line`), the act, its target and its time."""

    at_s: int
    who: str
    act: str
    target: str
    details: str = ""


class Audit(Protocol):
    """Stores the acts of admins."""

    async def note(self, entry: AuditEntry) -> None:
        """Store an act."""


class AuditReader(Protocol):
    """Reads the acts of admins."""

    async def read_audit(self, most: int) -> list[AuditEntry]:
        """Return the latest *most* acts, newest first."""
