"""Which URLs a setting may be; only their form, nothing is connected to."""

from urllib.parse import urlsplit

_REDIS_SCHEMES = (
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)
STORE_SCHEMES = ("file", "s3", "gs", "az")


def is_url(text: str, schemes: tuple[str, ...]) -> bool:
    """Whether *text* has the form of a URL of one of *schemes*."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - read to check it: a port that is no number raises
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.netloc or parts.path)


def is_redis_url(text: str) -> bool:
    """Whether *text* has the form of a Redis URL; several hosts in one (`a:1,b:2`) have no port to read."""
    scheme, _, rest = text.partition("://")
    if "+" not in scheme:
        return is_url(text, _REDIS_SCHEMES)
    hosts, _, primary = rest.partition("?")[0].partition("/")
    return scheme in _REDIS_SCHEMES and bool(hosts) and ("sentinel" not in scheme or bool(primary))
