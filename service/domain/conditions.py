"""The condition of what a process works with, as operators are told."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """The condition in a *word*; since when, in seconds since the epoch, and the *advice*, where those are known.

    Anybody may read it: advice names no host and no secret.
    """

    word: str
    since_s: float | None = None
    advice: str = ""
