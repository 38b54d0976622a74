"""Read the sums of the ledger, grouped as asked.

Never adds up different realms or outcomes: sandbox images cost nothing, and images of unknown billing are
not charged to a team. Failure behaviour: closed, `StateUnavailable`.
"""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta

from service.domain.errors import InvalidOrder
from service.ports.accounts import KnownTeams
from service.ports.clock import Calendar
from service.ports.ledger import KEPT_DAYS, Ledger, LedgerEntry

COLUMNS = ("day", "team", "user", "model", "realm", "outcome")
"""The labels of a sum; `images`, `microusd` and `unpriced` are the sums."""
MOST_DAYS = KEPT_DAYS
"""Most days in one answer to an admin: all that are kept."""

_ALWAYS = ("realm", "outcome")


class Usage:
    """Reads the ledger."""

    def __init__(self, *, ledger: Ledger, known: KnownTeams, clock: Calendar) -> None:
        self._ledger = ledger
        self._known = known
        self._clock = clock

    def days(self, first: date | None, last: date | None, *, most: int) -> list[date]:
        """Return the days from *first* (the first of its month) to *last* (today), both included.

        Raises:
            InvalidOrder: they are in the wrong order, or more than *most*.
        """
        last = last or self._clock.today()
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
        for name in [team] if team is not None else await self._known.teams():
            async for entry in self._ledger.read(name, days, user):
                yield entry


async def sum_up(entries: AsyncIterable[LedgerEntry], columns: Sequence[str]) -> list[LedgerEntry]:
    """Return *entries* added up by *columns*, and always by realm and outcome; other columns are empty."""
    sums = _Sums(columns)
    async for entry in entries:
        sums.add(entry)
    return sums.rows()


def add_up(entries: Iterable[LedgerEntry]) -> list[LedgerEntry]:
    """Return the totals of *entries*, one for each realm and outcome."""
    sums = _Sums(())
    for entry in entries:
        sums.add(entry)
    return sums.rows()


class _Sums:
    """Sums by some columns; memory grows with the sums, not with the entries added."""

    def __init__(self, columns: Sequence[str]) -> None:
        kept = {*columns, *_ALWAYS}
        self._blank = dict.fromkeys((column for column in COLUMNS if column not in kept), "")
        self._sums: dict[tuple[str, ...], LedgerEntry] = {}

    def add(self, entry: LedgerEntry) -> None:
        entry = replace(entry, **self._blank)  # type: ignore[arg-type]  # only columns of text
        labels = tuple(str(getattr(entry, column)) for column in COLUMNS)
        known = self._sums.get(labels)
        if known is not None:
            entry = replace(
                entry,
                images=known.images + entry.images,
                microusd=known.microusd + entry.microusd,
                unpriced=known.unpriced + entry.unpriced,
            )
        self._sums[labels] = entry

    def rows(self) -> list[LedgerEntry]:
        """Return the sums in the order of their labels."""
        return [self._sums[labels] for labels in sorted(self._sums)]
