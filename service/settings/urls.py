"""Check the form of URLs in settings; nothing is connected to."""

from urllib.parse import urlsplit

STORE_SCHEMES = ("file", "s3", "gs", "az")


def is_url(text: str, schemes: tuple[str, ...]) -> bool:
    """Tell if *text* has the form of a URL of one of *schemes*."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - read to check it: a port that is no number raises
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.netloc or parts.path)


def names_place(text: str) -> bool:
    """Tell if a Redis URL names a place: a client would take one without for this machine.

    The opener of the URL knows its forms, and checks them before anything starts.
    """
    scheme, _, rest = text.partition("://")
    place, _, path = rest.partition("?")[0].partition("/")
    return bool(place or ("+" not in scheme and path))
