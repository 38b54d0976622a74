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


def advise_on_clock(skew_s: float) -> str:
    """Return the advice on a clock that is *skew_s* ahead of that of Redis."""
    where = "ahead of" if skew_s > 0 else "behind"
    return (
        f"The clock of this machine is {abs(skew_s):.0f} s {where} that of Redis, so this gateway deletes nothing by age, and "
        "judges the ends of keys, tokens and links wrongly. Set it by NTP; if every gateway differs, set that of Redis."
    )
