"""Reading what orders cost, as `OrderBook.finish` booked it; raises `StateUnavailable` when it cannot be known."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol


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
    """Reading what `OrderBook` booked."""

    def read(self, team: str, days: Sequence[date], user: str | None = None) -> AsyncIterator[LedgerEntry]:
        """Yield the sums of *team* for *days*, only of *user* if one is named; raises `StateUnavailable`."""
        ...

    async def teams(self) -> list[str]:
        """Return every team that has ever asked for anything, spent or not; raises `StateUnavailable`."""
        ...

    async def erase(self, team: str, user: str) -> int:
        """Take a person out of the ledger, the limits and the pools of their own.

        Sums stay, under the user `erased`. Returns how many entries were changed;
        raises `StateUnavailable` when not all were.
        """
        ...

    async def compact(self) -> None:
        """Have what was erased leave the server's files too, as far as that can be had; never fails."""
        ...
