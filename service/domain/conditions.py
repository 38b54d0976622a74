"""Describe the condition of a dependency to operators."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """The condition in a *word*; its start and the *advice* may be unknown.

    Public: advice names no host and no secret.
    """

    word: str
    since_s: float | None = None
    advice: str = ""
