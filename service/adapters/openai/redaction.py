"""Make a provider's texts safe for a log: they may echo a key or a prompt."""

import html
import re
import unicodedata
from collections.abc import Sequence
from urllib.parse import unquote

HIDDEN = "[hidden]"
_MOST_CHARACTERS = 300
_MOST_READ = 4000
_MOST_MATCHED = 600
"""The patterns take quadratic time."""
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_SHARED_LETTERS = 10
_SHARED_CHARACTERS = 4
"""Shortest run in common with the prompt that counts as a part of it."""
_SHORTEST_SECRET = 8
_KEY_LIKE = re.compile(
    r"(?i:(?<=bearer )|(?<=key provided: )|\b(?=(?:sk|pk|rk|sess|key)[-_]))\S+"
    # Masked in the middle, as in `abcd****wxyz` and `abcd...wxyz`.
    r"|\S*\*{2,}\S*|\w+(?:\.{3,}|…)\w+"
    # Random: long and with digits, or longer than a word.
    r"|(?=[A-Za-z_+=-]*\d)[\w+=-]{20,}|[\w+=-]{40,}"
)

_KEY = re.compile(r"(?i:(?<=bearer )|(?<=key provided: )|\b(?=(?:sk|pk|rk|sess)-))\S{8,}")
"""Stricter, since texts for callers must stay readable."""


def hide_keys(text: str) -> str:
    """Return *text*, meant for a caller, without anything marked as a key."""
    return _KEY.sub(HIDDEN, text)


def hide_secrets(text: str, secrets: Sequence[str]) -> str:
    """Return *text* without *secrets*; short secrets may be words, and stay."""
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, HIDDEN)
    return text


def conceals(text: str, *, secrets: Sequence[str], prompt: str) -> bool:
    """Tell if *text*, which has the form of a name, holds a key or repeats a part of *prompt*."""
    return hide_keys(hide_secrets(text, secrets)) != text or repeats(text, prompt)


def redact(text: str, *, secrets: Sequence[str] = (), prompt: str = "") -> str:
    """Return *text* on one bounded line, without *secrets* and anything that looks like a key.

    The line is empty if *text* repeats a part of *prompt* in any spelling.
    """
    # Secrets first: one that a pattern or the bound has cut cannot be found.
    text = hide_secrets(text[:_MOST_READ], secrets)[:_MOST_MATCHED]
    if repeats(text, prompt):
        return ""
    line = "".join(each if each.isprintable() else " " for each in text)
    return _KEY_LIKE.sub(HIDDEN, line)[:_MOST_CHARACTERS]


def repeats(text: str, prompt: str) -> bool:
    """Tell if *text* and *prompt* share a run of letters and digits; other characters do not count."""
    said, asked = _letters(text), _letters(prompt)
    # A few Chinese characters are a phrase.
    shared = _SHARED_LETTERS if asked.isascii() else _SHARED_CHARACTERS
    if len(asked) < shared:
        return bool(asked) and asked in said
    return any(said[at : at + shared] in asked for at in range(len(said) - shared + 1))


def _letters(text: str) -> str:
    spelt = html.unescape(unquote(_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)))
    return "".join(each for each in unicodedata.normalize("NFKC", spelt).casefold() if each.isalnum())
