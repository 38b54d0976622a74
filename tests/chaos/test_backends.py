"""Check the rows of the group `backends` in short; `make chaos` runs them in full."""

import pytest

from tests.chaos.suite import check_row, names_of


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", names_of("backends"))
async def test_the_row_holds(name: str) -> None:
    await check_row(name)
