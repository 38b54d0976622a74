"""Bound the bytes of requests that a process holds at once: each caller's share, and the sum.

A request takes room before its body is read, and leaves it when the bytes are gone. Counts in this process
only, so nothing waits for it. Failure behaviour: closed; a request without room is refused at once.
"""

from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

from service.domain.errors import BytesRefused, RefusedFor
from service.ports.telemetry import BytesDeclined, HeldIn, Telemetry

SMALL_BYTES = 256 * 1024
"""The bytes of any order without files: a few callers who announce large bodies must not stop all of these."""


def _no_bound() -> float:
    return float("inf")


class ByteBudget:
    """Owns the count of one kind of bytes.

    A caller may hold *share* of *most_bytes*. A request of up to *small_bytes* finds room even when all together
    hold *most_bytes*. *spare_bytes* tells how many more bytes their place can take.
    """

    def __init__(
        self,
        place: HeldIn,
        *,
        most_bytes: int,
        share: float,
        small_bytes: int = SMALL_BYTES,
        telemetry: Telemetry,
        spare_bytes: Callable[[], float] = _no_bound,
    ) -> None:
        self.held_bytes = 0
        self._place = place
        self._most_bytes = most_bytes
        self._share_bytes = int(most_bytes * share)
        self._small_bytes = small_bytes
        self._telemetry = telemetry
        self._spare_bytes = spare_bytes
        self._by_caller: Counter[str] = Counter()

    def room_for(self, caller: str) -> "Room":
        """Return an empty room for one request of *caller*."""
        return Room(self, caller)

    def take(self, caller: str, more_bytes: int, held_bytes: int) -> None:
        """Count *more_bytes* for a request that holds *held_bytes*; raises `BytesRefused`."""
        reason = self._refusal(caller, more_bytes, held_bytes)
        if reason is not None:
            self._telemetry.record(BytesDeclined(place=self._place, reason=reason))
            raise BytesRefused(reason, self._share_bytes)
        self.held_bytes += more_bytes
        self._by_caller[caller] += more_bytes

    def give_back(self, caller: str, size_bytes: int) -> None:
        """Uncount bytes; a caller without any is forgotten."""
        self.held_bytes -= size_bytes
        self._by_caller[caller] -= size_bytes
        if self._by_caller[caller] == 0:
            del self._by_caller[caller]

    def _refusal(self, caller: str, more_bytes: int, held_bytes: int) -> RefusedFor | None:
        if held_bytes + more_bytes > self._share_bytes:
            return "body"
        if self._by_caller[caller] + more_bytes > self._share_bytes:
            return "caller"
        is_small = held_bytes + more_bytes <= self._small_bytes
        if not is_small and self.held_bytes + more_bytes > self._most_bytes:
            return "total"
        # Bytes on their way to the disk are not missing there yet: all that are held count as such.
        return "disk" if self.held_bytes + more_bytes > self._spare_bytes() else None


class Room:
    """The bytes of one request; a context manager that leaves them."""

    def __init__(self, budget: ByteBudget, caller: str) -> None:
        self._budget = budget
        self._caller = caller
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def grow_to(self, size_bytes: int) -> None:
        """Take room for *size_bytes* in all; raises `BytesRefused`."""
        more_bytes = size_bytes - self._bytes
        if more_bytes > 0:
            self._budget.take(self._caller, more_bytes, self._bytes)
            self._bytes = size_bytes

    def leave(self) -> None:
        """Give all bytes back; a second time changes nothing."""
        size_bytes, self._bytes = self._bytes, 0
        if size_bytes:
            self._budget.give_back(self._caller, size_bytes)
