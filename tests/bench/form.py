"""Say how long a run takes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Rounds, seconds of a lane in one, of open loops, and of warming up."""

    rounds: int = 5
    seconds: float = 1.5
    open_seconds: float = 5.0
    warm_seconds: float = 3.0
    rest_seconds: float = 60.0
    """After a burst, before the memory that is left is read."""
    is_guard: bool = False
    """Only what is compared with the recorded ratios."""
