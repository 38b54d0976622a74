"""Hosts by name, as far as it matters whether they are this machine."""

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_loopback(host: str) -> bool:
    """Whether *host* names this machine in one of the three ways people do.

    Other spellings count as another machine: who trusts loopback asks for one of these.
    """
    return host in _LOOPBACK
