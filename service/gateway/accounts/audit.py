"""Note the acts of admins in the audit.

An act is noted before it is done: every act has its line, and the line of a failed act is followed by an
error. Failure behaviour: closed. An act that cannot be noted is `StateUnavailable`, and is not done.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from service.ports.audit import Audit, AuditEntry
from service.ports.clock import Clock
from service.ports.telemetry import AdminActed, Telemetry


class Act(StrEnum):
    """An act of an admin."""

    CREATE_KEY = "create_key"
    REVOKE_KEY = "revoke_key"
    PUT_POLICY = "put_policy"
    REMOVE_POLICY = "remove_policy"
    PUT_TEAM = "put_team"
    CLOSE_TEAM = "close_team"
    REOPEN_TEAM = "reopen_team"
    ERASE_PERSON = "erase_person"
    PURGE_CACHE = "purge_cache"
    DELETE_IMAGE = "delete_image"


@dataclass(frozen=True, slots=True)
class AuditTrail:
    """Stores acts and reports them to telemetry."""

    audit: Audit
    clock: Clock
    telemetry: Telemetry

    async def note(
        self, who: str, act: Act, target: str, details: Mapping[str, object] | None = None
    ) -> None:
        """Note that *who* is about to do *act* to *target*; details that are None are left out."""
        pairs = (f"{name}={value}" for name, value in (details or {}).items() if value is not None)
        entry = AuditEntry(
            at_s=int(self.clock.wall_s()), who=who, act=act, target=target, details=" ".join(pairs)
        )
        await self.audit.note(entry)
        self.telemetry.record(AdminActed(entry=entry))
