"""The seed and the time of a session of fuzzing."""

import random

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz-seed", type=int, help="repeat the requests of this seed")
    parser.addoption("--fuzz-seconds", type=float, help="stop each test of fuzzing after this time")


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """What the requests come from; printed, so that they can be repeated."""
    given: int | None = request.config.getoption("--fuzz-seed")
    return random.randrange(1 << 32) if given is None else given


@pytest.fixture(scope="session")
def fuzz_seconds(request: pytest.FixtureRequest) -> float | None:
    """Longest time of a test, None for all of its cases."""
    seconds: float | None = request.config.getoption("--fuzz-seconds")
    return seconds
