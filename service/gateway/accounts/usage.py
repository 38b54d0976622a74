"""Read the sums of the ledger, grouped as asked.

Never adds up different realms or outcomes: sandbox images cost nothing, and images of unknown billing are
not charged to a team. Failure behaviour: closed, `StateUnavailable`.
"""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from service.domain.errors import InvalidOrder
from service.ports.accounts import KnownTeams
from service.ports.clock import Calendar
from service.ports.ledger import KEPT_DAYS, Ledger, LedgerEntry

COLUMNS = ("day", "team", "user", "model", "backend", "realm", "outcome")
"""The labels of a sum; `images`, `microusd` and `unpriced` are the sums."""
MOST_DAYS = KEPT_DAYS
"""Most days in one answer to an admin: all that are kept."""

_ALWAYS = ("realm", "outcome")

_Sums = dict[tuple[str, ...], LedgerEntry]
"""Sums by their labels; memory grows with the sums, not with the entries added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Reads the ledger."""

    ledger: Ledger
    known: KnownTeams
    clock: Calendar

    def days(self, first: date | None, last: date | None, *, most: int) -> list[date]:
        """Return the days from *first* (the first of its month) to *last* (today), both included.

        Raises:
            InvalidOrder: they are in the wrong order, or more than *most*.
        """
        last = last or self.clock.today()
        first = first or last.replace(day=1)
        count = (last - first).days + 1
        if not 0 < count <= most:
            raise InvalidOrder(
                f"Invalid 'from': {first} to {last} is not a span of 1 to {most} days.", param="from"
            )
        return [first + timedelta(days=i) for i in range(count)]

    async def entries(
        self, days: Sequence[date], *, team: str | None = None, user: str | None = None
    ) -> AsyncIterator[LedgerEntry]:
        """Yield the stored sums of *days*, of all teams unless one is named."""
        for name in [team] if team is not None else await self.known.teams():
            async for entry in self.ledger.read(name, days, user):
                yield entry


async def sum_up(entries: AsyncIterable[LedgerEntry], columns: Sequence[str]) -> list[LedgerEntry]:
    """Return *entries* added up by *columns*, and always by realm and outcome; other columns are empty."""
    sums: _Sums = {}
    async for entry in entries:
        _add(sums, entry, columns)
    return [sums[labels] for labels in sorted(sums)]


def add_up(entries: Iterable[LedgerEntry]) -> list[LedgerEntry]:
    """Return the totals of *entries*, one for each realm and outcome."""
    sums: _Sums = {}
    for entry in entries:
        _add(sums, entry, ())
    return [sums[labels] for labels in sorted(sums)]


def _add(sums: _Sums, entry: LedgerEntry, columns: Sequence[str]) -> None:
    blank = dict.fromkeys({*COLUMNS} - {*columns, *_ALWAYS}, "")
    entry = replace(entry, **blank)  # type: ignore[arg-type]  # only columns of text
    labels = tuple(str(getattr(entry, column)) for column in COLUMNS)
    if known := sums.get(labels):
        entry = replace(
            entry,
            images=known.images + entry.images,
            microusd=known.microusd + entry.microusd,
            unpriced=known.unpriced + entry.unpriced,
        )
    sums[labels] = entry
