"""Split an order of n images into calls, and share a call's usage among its images."""

from collections.abc import Mapping, Sequence
from typing import Any


def split_order(places: Sequence[int], images_per_call: int) -> list[tuple[int, ...]]:
    """Split the places of an answer into a group for each call, in order.

    >>> split_order([0, 1, 2], 1)
    [(0,), (1,), (2,)]
    >>> split_order([0, 1, 2], 2)
    [(0, 1), (2,)]
    """
    return [tuple(places[i : i + images_per_call]) for i in range(0, len(places), images_per_call)]


def share_usage(usage: Mapping[str, Any], n: int) -> list[dict[str, Any]]:
    """Share a call's token counts among its *n* images; the first takes the remainders."""
    return [_share(usage, n, i) for i in range(n)]


def add_usage(shares: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Add up the usage of the images of an answer, the inverse of `share_usage`."""
    total: dict[str, Any] = {}
    for share in shares:
        for key, value in share.items():
            if isinstance(value, Mapping):
                total[key] = add_usage([total.get(key, {}), value])
            elif isinstance(value, int):
                total[key] = total.get(key, 0) + value
    return total


def _share(usage: Mapping[str, Any], n: int, index: int) -> dict[str, Any]:
    share: dict[str, Any] = {}
    for key, value in usage.items():
        if isinstance(value, Mapping):
            share[key] = _share(value, n, index)
        elif isinstance(value, int):
            share[key] = value // n + (value % n if index == 0 else 0)
    return share
