"""Give equal orders that a caller sends at once different images.

A model that makes one image a call leaves its clients one way to several: equal orders at once. The first opens a
window of `GATEWAY_FANOUT_WINDOW_MS`. In a window that makes, each order passes over what earlier ones got. A window
that began with a cached image, or that handed out `MOST_DIFFERENT`, shares: its orders take turns at what exists.

The oracle for `adapters/redis/scripts/fanout.lua`, and the rule of the local share (`gateway/admission/local.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.images import MAX_N

MOST_DIFFERENT = MAX_N
"""Most images that the orders of a window make: as many as one order may have."""


@dataclass(frozen=True, slots=True)
class FanoutWindow:
    """The number of its *orders*, and the indices that they got since the window began or took its turns anew.

    *has_shared*: it began with a hit, or has shared before.
    """

    orders: int = 0
    handed_out: tuple[int, ...] = ()
    has_shared: bool = False

    @property
    def shares(self) -> bool:
        """Tell if the next order takes its turn at what exists."""
        return self.has_shared or len(self.handed_out) >= MOST_DIFFERENT

    @property
    def passed_over(self) -> tuple[int, ...]:
        """Return the indices that the next order must not get, nor ask for again."""
        return () if self.shares else self.handed_out

    def choose(self, ready: Sequence[int], claimed: Sequence[int]) -> int | None:
        """Return the index for the next order, or None if it makes one.

        *ready* are the indices of images, the oldest first; *claimed* those that other orders make.
        """
        candidates = (ready or claimed) if self.shares else (*ready, *claimed)
        new = next((index for index in candidates if index not in self.handed_out), None)
        return candidates[0] if new is None and self.shares and candidates else new

    def after(self, index: int, *, was_ready: bool) -> "FanoutWindow":
        """Return the window after its next order got *index*."""
        handed_out = (index,) if index in self.handed_out else (index, *self.handed_out)
        began_with_hit = was_ready and self.orders == 0
        return FanoutWindow(self.orders + 1, handed_out, self.shares or began_with_hit)
