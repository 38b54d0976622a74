"""How a part that a process works with fares, as operators are told."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How a part fares, in a *word*; since when, in seconds since the epoch, and the *mend*, where those are known.

    Anybody may read it: a mend names no host and no secret.
    """

    word: str
    since_s: float | None = None
    mend: str = ""
