"""Which URLs a setting may be; only their form, nothing is connected to."""

from urllib.parse import urlsplit

STORE_SCHEMES = ("file", "s3", "gs", "az")


def is_url(text: str, schemes: tuple[str, ...]) -> bool:
    """Whether *text* has the form of a URL of one of *schemes*."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - read to check it: a port that is no number raises
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.netloc or parts.path)


def names_place(text: str) -> bool:
    """Whether a Redis URL says where Redis is: a client would take this machine for one that does not.

    Which forms there are is known where it is opened, and checked before anything starts.
    """
    scheme, _, rest = text.partition("://")
    place, _, path = rest.partition("?")[0].partition("/")
    return bool(place or ("+" not in scheme and path))
