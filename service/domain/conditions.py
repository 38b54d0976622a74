"""The condition of a dependency, as shown to operators."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """The condition in a *word*; its start, in seconds since the epoch, and the *advice*, where known.

    Anyone may read it: advice names no host and no secret.
    """

    word: str
    since_s: float | None = None
    advice: str = ""
