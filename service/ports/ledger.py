"""Read the costs of orders that `SharedOrders.finish` booked; raises `StateUnavailable` if it cannot."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

KEPT_DAYS = 400
"""Days to keep a day of the ledger after its last booking: more than a year."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One sum of the ledger. *outcome* is `made` or `unknown` (may have been billed; counted at its estimate).

    *model* is the sent one and *backend* the one that made it, empty if unknown: of bookings by earlier versions, and for a
    process that died in mid-call.
    *unpriced* counts the *images* without a known price, which *microusd* leaves out. *day* is
    `YYYY-MM-DD` in UTC, *user* a keyed hash.
    """

    day: str
    team: str
    user: str
    model: str
    realm: str
    outcome: str
    images: int
    microusd: int
    unpriced: int
    backend: str = ""


class Ledger(Protocol):
    """Reads the bookings of `SharedOrders`."""

    def read(self, team: str, days: Sequence[date], user: str | None = None) -> AsyncIterator[LedgerEntry]:
        """Yield the sums of *team* for *days*, of *user* alone if given."""


class LedgerEraser(Protocol):
    """Erases persons from the bookings of `SharedOrders`."""

    async def erase(self, team: str, user: str) -> int:
        """Erase a person from the ledger, the limits and the person's own pools.

        Sums stay, under the user `erased`. Returns the number of changed entries; raises
        `StateUnavailable` if some may be left.
        """

    async def compact(self) -> None:
        """Remove erased data from the server's files too, if the server allows it; never fails."""
