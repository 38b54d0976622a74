"""Read the costs of orders as `SharedOrders.finish` booked them; raises `StateUnavailable` if they cannot be read."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

KEPT_DAYS = 400
"""Days that a day of the ledger is kept after its last booking: more than a year."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One sum of the ledger. *outcome* is `made` or `unknown` (paid by the house).

    *unpriced* of the *images* have no known price and are not in *microusd*. *day* is
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


class Ledger(Protocol):
    """Reads the bookings of `SharedOrders`."""

    def read(self, team: str, days: Sequence[date], user: str | None = None) -> AsyncIterator[LedgerEntry]:
        """Yield the sums of *team* for *days*, only of *user* if one is named; raises `StateUnavailable`."""
        ...


class LedgerEraser(Protocol):
    """Erases persons from the bookings of `SharedOrders`."""

    async def erase(self, team: str, user: str) -> int:
        """Erase a person from the ledger, the limits and the pools of their own.

        Sums stay, under the user `erased`. Returns the number of changed entries;
        raises `StateUnavailable` when not all were changed.
        """
        ...

    async def compact(self) -> None:
        """Remove erased data from the server's files too, as far as the server allows; never fails."""
        ...
