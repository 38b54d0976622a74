"""Search for garbage rarely.

Counting references frees an order at its end (`tests/gateway/order/test_run.py`), so searches find a few objects of
libraries. By default Python searches after 700 new objects, which orders under way make many times a second.
"""

import gc

NEW_OBJECTS = 10_000
"""Without it, searches take 4 % of the CPU of a hit and 3 % of a miss, and the longest stops all orders for 6 ms."""


def collect_rarely() -> None:
    """Search once so many more objects exist; modules are left out of searches already (`commands/root.py`)."""
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])
