"""Rules that the scripts in Redis follow and nobody else applies, in Python, to compare them with."""

from service.domain.gcra import emission_us


def refund(arrival_us: int, now_us: int, weight: int, limit_per_min: int) -> int:
    """Return the stored state of a rate after *weight* units were given back unused."""
    return max(arrival_us - weight * emission_us(limit_per_min), now_us)
