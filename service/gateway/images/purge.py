"""Count and purge stored images for an admin: by team, user, model, order or age.

Removes references; retention removes the bytes, once no team has one and they are an hour old.
Failure behaviour: closed, `StateUnavailable`. A repeated purge continues an interrupted one.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field

from service.domain.errors import Conflict, InvalidOrder
from service.gateway.accounts.audit import Act, AuditTrail
from service.gateway.clock_check import ClockCheck
from service.ports.accounts import KnownTeams
from service.ports.audit import Audit
from service.ports.clock import Clock
from service.ports.references import Reference, ReferenceListing, References
from service.ports.telemetry import ImageForgotten, Telemetry

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A selection of images; None selects any. *user* is a keyed hash, *model* the asked or the sent one."""

    team: str | None = None
    user: str | None = None
    model: str | None = None
    fingerprint: str | None = None
    older_than_s: float | None = None

    @property
    def is_everything(self) -> bool:
        """Tell if no criterion is set."""
        return all(value is None for value in asdict(self).values())

    def has(self, reference: Reference, now_s: float) -> bool:
        """Tell if the selection includes an image."""
        return (
            self.team in (None, reference.team)
            and self.user in (None, reference.user)
            and self.model in (None, reference.asked_model, reference.sent_model)
            and self.fingerprint in (None, reference.fingerprint)
            and (self.older_than_s is None or reference.created_s <= now_s - self.older_than_s)
        )


@dataclass(slots=True, kw_only=True)
class TeamStats:
    """The images of one team. *oldest_s* is since the epoch; *models* counts by the model that made an image."""

    team: str
    images: int = 0
    size_bytes: int = 0
    variants: int = 0
    oldest_s: int | None = None
    models: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Purged:
    """The result of a purge or of its dry run; *is_complete* False if more images match."""

    images: int = 0
    size_bytes: int = 0
    is_complete: bool = True

    def count(self, reference: Reference) -> None:
        """Count an image."""
        self.images += 1
        self.size_bytes += reference.size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Purging:
    """The use cases behind `cache stats` and `cache purge`."""

    known: KnownTeams
    listing: ReferenceListing
    references: References
    audit: Audit
    clock: Clock
    check: ClockCheck
    telemetry: Telemetry

    async def stats(self, team: str | None = None) -> list[TeamStats]:
        """Count the images of every team, or of one; reads every reference."""
        teams = await self.known.teams() if team is None else [team]
        return [await self._count(team) for team in teams]

    async def select(self, selection: Selection) -> Purged:
        """Count the images a purge would remove."""
        found = Purged()
        async for reference in self._find(selection):
            found.count(reference)
        return found

    async def purge(
        self,
        who: str,
        selection: Selection,
        *,
        most: int | None = None,
        tell: Callable[[Purged], None] = lambda _: None,
    ) -> Purged:
        """Remove at most *most* references of a selection, which needs a criterion; *tell* gets the progress.

        Raises:
            Conflict: it is by age, and the clock is wrong.
        """
        if selection.is_everything:
            raise InvalidOrder(
                "Say what to purge: by team, user, model, fingerprint or age. An age of 0 is everything.",
                param=None,
            )
        if selection.older_than_s and not await self.check.agrees():
            raise Conflict(
                f"The clock of this machine differs from that of Redis by {abs(self.check.skew_s):.0f} s, so nothing is "
                "purged by age. Set the clocks, or purge by another mark."
            )
        trail = AuditTrail(self.audit, self.clock, self.telemetry)
        await trail.note(who, Act.PURGE_CACHE, "cache", asdict(selection))
        purged = Purged()
        async for reference in self._find(selection):
            if purged.images == most:
                purged.is_complete = False
                break
            if await self.references.forget(reference.team, reference.name):
                self.telemetry.record(ImageForgotten(reason="purge"))
                purged.count(reference)
                tell(purged)
        return purged

    async def _count(self, team: str) -> TeamStats:
        stats = TeamStats(team=team)
        page: list[str] = []
        async for reference in self.listing.scan(team):
            stats.images += 1
            stats.size_bytes += reference.size_bytes
            stats.models[reference.sent_model] += 1
            stats.oldest_s = min(stats.oldest_s or reference.created_s, reference.created_s)
            page.append(reference.name)
            if len(page) == _PAGE:
                stats.variants += await self.listing.variants(team, page)
                page = []
        stats.variants += await self.listing.variants(team, page)
        return stats

    async def _find(self, selection: Selection) -> AsyncIterator[Reference]:
        now_s = self.clock.wall_s()
        teams = await self.known.teams() if selection.team is None else [selection.team]
        for team in teams:
            async for reference in self.listing.scan(team):
                if selection.has(reference, now_s):
                    yield reference
