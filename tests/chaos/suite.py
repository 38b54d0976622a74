"""Run rows as tests: in short, and only those that are not known to fail."""

import pytest

from tests.chaos.table import ALL, GROUPS, KNOWN_TO_FAIL, run_row


def names_of(group: str) -> list[str]:
    """Return the names of a group's rows that the gateway passes."""
    return [row.name for row in GROUPS[group] if row.name not in KNOWN_TO_FAIL]


async def check_row(name: str) -> None:
    """Run a row in short; a figure that is not as it should be fails the test."""
    result = await run_row(ALL[name], is_short=True, tell=lambda _: None)
    if result.not_tried:
        pytest.skip(result.not_tried)
    assert not result.failed, result.happened
