"""Rules that the scripts in Redis follow and nobody else applies, in Python, and how often a test compares them."""

import pytest
from _pytest.mark.structures import ParameterSet

from service.domain.gcra import emission_us


def refund(arrival_us: int, now_us: int, weight: int, limit_per_min: int) -> int:
    """Return the stored state of a rate after *weight* units were given back unused."""
    return max(arrival_us - weight * emission_us(limit_per_min), now_us)


def numbers(quick: int, *, all_: int) -> list[int | ParameterSet]:
    """Return the numbers below *all_*: *quick* of them for every run of the suite, the rest for the whole of it."""
    return [*range(quick), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(quick, all_))]
