"""Check the rows of all groups that wait, in short and side by side; `make chaos` runs them in full."""

import asyncio
from collections.abc import Mapping

import pytest

from tests.chaos.suite import check_result, run_beside, waiting_names
from tests.chaos.table import Result

NAMES = waiting_names()


@pytest.fixture(scope="module")
def results() -> Mapping[str, Result]:
    return asyncio.run(run_beside(NAMES))


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", NAMES)
def test_the_row_holds(results: Mapping[str, Result], name: str) -> None:
    check_result(results[name])
