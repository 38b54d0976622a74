"""Report a missing or wrong setting, without a key that is written where a name belongs."""

import re

_KEY_LIKE = re.compile(
    r"\b(?:sk|pk|rk|sess)[-_](?=[\w-]*[A-Z\d])[\w-]{4,}"
    # As random as Azure's: long, without a break, and with digits.
    r"|(?=[A-Za-z]*\d)[A-Za-z\d]{24,}"
    r"|[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}"
)


class SettingsError(ValueError):
    """A setting is missing or wrong; the message names it and a correct value, not the given one."""


def looks_like_key(text: str) -> bool:
    """Tell if *text*, which stands in the place of a name, has a part like a key of a provider."""
    return _KEY_LIKE.search(text) is not None


def hide_keys(text: str) -> str:
    """Return *text* without parts like a key of a provider."""
    return _KEY_LIKE.sub("[hidden]", text)
