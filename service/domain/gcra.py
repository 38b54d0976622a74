"""Decide by GCRA, the rate rule of every per-minute limit.

Integer arithmetic in microseconds: the oracle for `adapters/redis/scripts/begin.lua`, and the rule of the
local share while Redis is away (`gateway/admission/local.py`). The burst is one minute's worth: in any time
t, at most burst + rate x t units are admitted, exactly. Source: ITU-T I.371, "virtual scheduling".
"""

from dataclasses import dataclass

MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The verdict of a limit; *arrival_us* is the theoretical arrival time to store, also after a refusal."""

    allowed: bool
    arrival_us: int
    remaining: int
    retry_after_us: int
    reset_us: int


def emission_us(limit_per_min: int) -> int:
    """Return the time in which one unit becomes free, rounded up to never admit too much."""
    return -(-MINUTE_US // limit_per_min)


def decide(arrival_us: int, now_us: int, weight: int, limit_per_min: int) -> Decision:
    """Decide on *weight* units now, where *arrival_us* is the stored state (0 = none)."""
    emission = emission_us(limit_per_min)
    burst_us = emission * limit_per_min
    current = min(max(arrival_us, now_us), now_us + burst_us)
    wanted = current + weight * emission
    allowed = weight == 0 or wanted - now_us <= burst_us
    arrival = wanted if allowed else current
    return Decision(
        allowed=allowed,
        arrival_us=arrival,
        remaining=(burst_us - (arrival - now_us)) // emission,
        retry_after_us=0 if allowed else wanted - now_us - burst_us,
        reset_us=arrival - now_us,
    )
