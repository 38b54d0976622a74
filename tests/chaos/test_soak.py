"""Soak for a short time; `make soak` does so for ten minutes."""

import pytest

from tests.chaos.soak import run


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_nothing_is_left_and_the_books_are_exact() -> None:
    finding = await run(30)

    assert not finding.failed, finding.figures
