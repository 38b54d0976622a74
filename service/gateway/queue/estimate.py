"""Estimate how long a call waits for its turn: for calls in flight to end, and for the pace."""

from collections.abc import Iterable

from service.ports.provider import Pace


def wait_for_slot_s(ages_s: Iterable[float], *, free: int, ahead: int, call_s: float) -> float:
    """Return the wait of a call behind *ahead* others, each of *call_s*, while *free* may be sent at once.

    *ages_s* are the ages of the calls in flight.
    """
    place = ahead - free
    if place < 0:
        return 0.0
    left_s = sorted([max(0.0, call_s - age_s) for age_s in ages_s] + [call_s] * free)
    rounds, slot = divmod(place, len(left_s))
    return left_s[slot] + rounds * call_s


def wait_for_pace_s(pace: Pace | None, images: int) -> float:
    """Return the wait until *pace* lets the last of *images* pass."""
    if pace is None:
        return 0.0
    room, too_much = 0, int(pace.max_rate) + 1
    while too_much - room > 1:
        # It tells only if an amount fits.
        middle = (room + too_much) // 2
        room, too_much = (middle, too_much) if pace.has_capacity(middle) else (room, middle)
    return max(0, images - room) * pace.time_period / pace.max_rate
