"""Share out the files that the system lets this process open: to clients, and to its own work."""

import resource
from contextlib import suppress

_OWN = 256
"""Files for Redis, store, journal, uploads, workers and libraries."""
_OF_A_CALL = 4
"""Its connection, the images it sends, and one that it stores."""
_PLENTY = 2**20
"""Asked for where the system names no limit."""


def raise_limit() -> None:
    """Raise the limit of open files to the most that the system allows without rights; children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _PLENTY if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # Some systems allow less than they say.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_connections(calls_in_flight: int) -> int:
    """Return the most connections of clients: the files of this process but for its own work, and at least half of them."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _PLENTY if soft == resource.RLIM_INFINITY else soft
    return files - min(files // 2, _OWN + _OF_A_CALL * calls_in_flight)
