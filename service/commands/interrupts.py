"""Ctrl-C while something is open that has to be closed: a Valkey of our own, a server, a connection.

Failure behaviour: what runs is cancelled and closed in order; the command ends with exit code 130.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def tidied_up() -> Iterator[None]:
    """Have Ctrl-C raise `KeyboardInterrupt`, which asyncio makes a cancellation, instead of ending the process."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
