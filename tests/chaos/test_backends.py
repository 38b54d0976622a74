"""Check rows of the group `backends` in short; `make chaos` runs all of them in full."""

import pytest

from tests.chaos.suite import check_row, names_of

TRIED_BY_OTHERS = {
    "throttled-key": "throttled-key-of-two",
    "failing-backend-no-room": "failing-backend, and gateway/order/test_attempt.py",
    "failing-edits": "adapters/openai/test_backend.py",
    "all-failing": "gateway/order/test_attempt.py",
    "all-refused": "gateway/routing/test_routing.py",
    "all-throttled": "gateway/queue/test_several_keys.py",
    "all-unreachable": "gateway/order/test_attempt.py",
    "redis-away-throttled": "gateway/routing/test_sharing.py, and adapters/redis/test_rests.py",
    "redis-away-failing": "gateway/routing/test_sharing.py, and adapters/redis/test_rests.py",
    "retired-model": "http/test_images_by_backend.py",
    "lying-size": "end_to_end/test_compatible_server.py",
}
"""Rows that the suite leaves to `make chaos`, and what tries the same."""


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", [name for name in names_of("backends") if name not in TRIED_BY_OTHERS])
async def test_the_row_holds(name: str) -> None:
    await check_row(name)


def test_what_is_left_out_exists() -> None:
    assert set(names_of("backends")) > set(TRIED_BY_OTHERS)
