"""What admins did, and where it is kept.

Failure behaviour: an act that may not have been kept is `StateUnavailable`, never silence.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One act of an admin: who (a key id, `bootstrap` or `command line`) did what to what, when."""

    at_s: int
    who: str
    act: str
    target: str
    details: str = ""


class Audit(Protocol):
    """Where it is kept what admins did."""

    async def note(self, entry: AuditEntry) -> None:
        """Keep what an admin did; raises `StateUnavailable`."""
        ...
