"""Check the form of URLs and headers in settings, without connections."""

import re
from urllib.parse import urlsplit

OPENAI_URL = "https://api.openai.com/v1"
_PLACE = re.compile(r"[\w.-]+(:\d+)?|\[[0-9a-fA-F:.]+\](:\d+)?")


def is_url(text: str, schemes: tuple[str, ...]) -> bool:
    """Tell if *text* is a URL of one of *schemes*."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - reading it raises if it is not a number
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.netloc or parts.path)


def is_base_url(text: str) -> bool:
    """Tell if *text* is the base URL of a provider: http(s), without credentials."""
    return is_url(text, ("http", "https")) and bool(_PLACE.fullmatch(urlsplit(text).netloc))


def is_header_value(text: str) -> bool:
    """Tell if a header can carry *text*: one line of printable ASCII."""
    return text.isascii() and text.isprintable()


def names_place(text: str) -> bool:
    """Tell if a Redis URL has a host or path; without, clients connect to this machine.

    `check_redis_url` checks the rest of its form.
    """
    scheme, _, rest = text.partition("://")
    place, _, path = rest.partition("?")[0].partition("/")
    return bool(place or ("+" not in scheme and path))
