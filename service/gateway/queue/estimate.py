"""Estimate how long a call waits for its turn: for calls in flight to end, and for the pace."""

from collections.abc import Iterable, Sequence

from service.gateway.routing.keys import BackendKey


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


def wait_for_paces_s(keys: Sequence[BackendKey], images: int) -> float:
    """Return the wait until the paces of all *keys* together let the last of *images* pass; with a key without one there is none."""
    paces = [key.pace for key in keys if key.pace is not None]
    if len(paces) < len(keys) or not paces:
        return 0.0
    missing = images - sum(key.room_in_pace for key in keys)
    return max(0.0, missing) / sum(pace.max_rate / pace.time_period for pace in paces)
