"""Recognize the names of this machine."""

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_loopback(host: str) -> bool:
    """Tell if *host* names this machine in one of the three usual spellings; others are not trusted."""
    return host in _LOOPBACK
