"""Make a provider's words safe for a log: they may echo a key or a prompt."""

import re
from collections.abc import Sequence

HIDDEN = "[hidden]"
_MOST_CHARACTERS = 300
_SHARED_CHARACTERS = 12
"""A run of this length that the prompt shares counts as a part of it."""
_SHORTEST_SECRET = 8
_KEY_LIKE = re.compile(
    r"(?i:(?<=bearer )|(?<=key provided: )|\b(?=(?:sk|pk|rk|sess|key)[-_]))\S+"
    # Masked in the middle, as in `abcd****wxyz` and `abcd...wxyz`.
    r"|\S*\*{2,}\S*|\w+(?:\.{3,}|…)\w+"
    # Random: long, and of digits or of nothing a word has.
    r"|(?=[A-Za-z_+=-]*\d)[\w+=-]{20,}|[\w+=-]{40,}"
)

_KEY = re.compile(r"(?i:(?<=bearer )|(?<=key provided: )|\b(?=(?:sk|pk|rk|sess)-))\S{8,}")
"""Little else looks like it: what callers read shall lose none of its sense."""


def hide_keys(text: str) -> str:
    """Return *text*, which is for a caller, without what is marked as a key."""
    return _KEY.sub(HIDDEN, text)


def redact(text: str) -> str:
    """Return *text* on one bounded line, without anything that looks like a key."""
    line = "".join(each if each.isprintable() else " " for each in text[:2000])
    return _KEY_LIKE.sub(HIDDEN, line)[:_MOST_CHARACTERS]


def without(text: str, *, secrets: Sequence[str], prompt: str) -> str:
    """Return *text* without *secrets*, and nothing if it repeats a part of *prompt*."""
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, HIDDEN)
    return "" if _repeats(_plain(text), _plain(prompt)) else text


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _repeats(text: str, prompt: str) -> bool:
    if len(prompt) < _SHARED_CHARACTERS:
        return bool(prompt) and prompt in text
    runs = range(len(text) - _SHARED_CHARACTERS + 1)
    return any(text[at : at + _SHARED_CHARACTERS] in prompt for at in runs)
