"""Tell hosts on this machine from others, by name."""

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_loopback(host: str) -> bool:
    """Tell if *host* names this machine in one of the three usual ways.

    Other spellings count as another machine: to be trusted as loopback, use one of these.
    """
    return host in _LOOPBACK
