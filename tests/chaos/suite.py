"""Run rows as tests: in short, and only those that are not known to fail."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from tests.chaos.row import Row
from tests.chaos.table import ALL, GROUPS, KNOWN_TO_FAIL, Result, run_row


def names_of(group: str) -> list[str]:
    """Return the names of a group's rows that the gateway passes, without those that wait."""
    return [row.name for row in GROUPS[group] if _is_passed(row) and not row.waits]


def waiting_names() -> list[str]:
    """Return the names of the rows that wait and that the gateway passes."""
    return [row.name for row in ALL.values() if _is_passed(row) and row.waits]


async def check_row(name: str) -> None:
    """Run a row in short; a figure that is not as it should be fails the test."""
    check_result(await _run(name))


async def run_beside(names: Sequence[str]) -> Mapping[str, Result]:
    """Run rows in short, all at once."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_run(name)) for name in names]
    return {task.result().name: task.result() for task in tasks}


def check_result(result: Result) -> None:
    """Fail the test if a figure is not as it should be."""
    if result.not_tried:
        pytest.skip(result.not_tried)
    assert not result.failed, result.happened


async def _run(name: str) -> Result:
    return await run_row(ALL[name], is_short=True, tell=lambda _: None)


def _is_passed(row: Row) -> bool:
    return row.name not in KNOWN_TO_FAIL
