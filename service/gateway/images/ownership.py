"""Show, describe and delete stored images for teams with a reference to them, and for no other.

A link shows its image as long as the team it was signed for refers to it. An image without bytes, or with
damaged ones, loses the reference, so that an order for it makes it again.
Failure behaviour: links stay valid while Redis is away, and after three failures wait for it once a second
only; everything else is `StateUnavailable`.
"""

import contextlib
from dataclasses import dataclass

from service.domain.callers import Caller, Role
from service.domain.errors import ImageMissing, ImageNotKept, StateUnavailable
from service.gateway.accounts.audit import Act, AuditTrail
from service.ports.admission import UnsettledImages
from service.ports.audit import Audit
from service.ports.circuits import Circuit
from service.ports.clock import Clock
from service.ports.references import Reference, References
from service.ports.telemetry import ImageForgotten, StateFailed, Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """The use cases behind the file routes; links check their right over *circuit*."""

    references: References
    unsettled: UnsettledImages
    audit: Audit
    clock: Clock
    telemetry: Telemetry
    circuit: Circuit

    async def check_link(self, team: str, name: str) -> None:
        """Check that *team* still refers to the image.

        Raises:
            ImageNotKept: it does not.
        """
        # The gateway signed the link, and the store has the bytes: enough during an outage.
        if not self.circuit.allows():
            return
        began_s = self.clock.monotonic_s()
        try:
            is_kept = await self._is_kept(team, name)
        except StateUnavailable as error:
            self.telemetry.record(StateFailed(operation="link", reason=error.reason))
            if not error.is_about_keys:
                self.circuit.fail(began_s)
            return
        self.circuit.succeed()
        if not is_kept:
            raise ImageNotKept

    async def note_lost(self, team: str, name: str) -> None:
        """Drop the reference to an image without bytes; without Redis the next request does."""
        with contextlib.suppress(StateUnavailable):
            if await self.references.forget(team, name):
                self.telemetry.record(ImageForgotten(reason="lost"))

    async def find(self, caller: Caller, name: str, *, team: str | None = None) -> Reference:
        """Return the reference to an image of the caller, or of any team for an admin.

        Raises:
            ImageMissing: it does not exist, or is not the caller's.
        """
        reference = await self.references.find(self._team_of(caller, team), name)
        if reference is None or not (caller.role is Role.ADMIN or reference.user == caller.user):
            raise ImageMissing
        return reference

    async def delete(self, caller: Caller, name: str, *, team: str | None = None) -> None:
        """Remove the reference; the bytes go with the last one.

        Raises:
            ImageMissing: it does not exist, or is not the caller's.
        """
        reference = await self.find(caller, name, team=team)
        is_own = reference.user == caller.user and reference.team == caller.team
        if not is_own:
            who = caller.key_id or "bootstrap"
            trail = AuditTrail(self.audit, self.clock, self.telemetry)
            await trail.note(who, Act.DELETE_IMAGE, name, {"team": reference.team})
        if await self.references.forget(reference.team, name):
            self.telemetry.record(ImageForgotten(reason="owner" if is_own else "admin"))

    def _team_of(self, caller: Caller, named: str | None) -> str:
        if named is None or named == caller.team:
            return caller.team
        if caller.role is not Role.ADMIN:
            raise ImageMissing
        return named

    async def _is_kept(self, team: str, name: str) -> bool:
        """Tell if *team* refers to the image, or has an unsettled entry for it in the journal."""
        if await self.references.has(team, name) or await self.unsettled.has_image(team, name):
            return True
        # The settlement may have arrived between the two checks.
        return await self.references.has(team, name)
