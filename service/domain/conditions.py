"""Describe the condition of a dependency to operators."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """The condition in a *word*; its start and the *advice* may be unknown. *keys* are those of a provider with several.

    Public: advice names no host and no secret.
    """

    word: str
    since_s: float | None = None
    advice: str = ""
    keys: Mapping[str, "Condition"] = field(default_factory=dict)


RESTING = "resting"
"""The word of a key that works, and gets no calls of some model for a while."""


def join_keys(keys: Mapping[str, Condition]) -> Condition:
    """Return the condition of a provider by those of its *keys*, the preferred first: one that works is enough.

    The advice is that of each key that does not work. The condition of a single key is that of the provider.
    """
    if len(keys) == 1:
        [only] = keys.values()
        return replace(only, word="ok") if only.word == RESTING else only
    words = ["ok" if key.word == RESTING else key.word for key in keys.values()]
    best = next((word for word in ("ok", "unknown") if word in words), words[0])
    troubles = [
        f"{name}: {key.advice or key.word}" for name, key in keys.items() if key.word not in ("ok", "unknown")
    ]
    return Condition(word=best, advice=" ".join(troubles), keys=keys)


def advise_on_clock(skew_s: float) -> str:
    """Return the advice on a clock that is *skew_s* ahead of that of Redis."""
    where = "ahead of" if skew_s > 0 else "behind"
    return (
        f"The clock of this machine is {abs(skew_s):.0f} s {where} that of Redis, so this gateway deletes nothing by age, and "
        "judges the ends of keys, tokens and links wrongly. Set it by NTP; if every gateway differs, set that of Redis."
    )
