"""Read how much a client wants a media type, from its `Accept` field (RFC 9110, 12.5.1)."""

import re

_QUALITY = re.compile(r"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.ASCII)


def quality_of(media_type: str, accept: str) -> float:
    """Return 0 (not wanted) to 1; a malformed quality is 0, and of several ranges the most exact counts."""
    wanted: dict[str, float] = {}
    for part in accept.lower().split(","):
        name, *parameters = (each.strip() for each in part.split(";"))
        texts = [each[2:] for each in parameters if each.startswith("q=")]
        text = texts[0] if texts else "1"
        wanted[name] = float(text) if _QUALITY.fullmatch(text) else 0.0
    ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((wanted[each] for each in ranges if each in wanted), 0.0)
