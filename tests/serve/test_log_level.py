"""An operator changes the log level of a running gateway by signals."""

import asyncio
import logging
import signal
from collections.abc import Iterator

import httpx
import pytest

from service.serve.log_level import BACK_S, LogLevel
from tests.fakes.clock import HeldLoop
from tests.http.house import until
from tests.processes import Gateway, run_gateway


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with run_gateway(tmp_path_factory.mktemp("quiet"), log_level="WARNING") as gateway:
        yield gateway


@pytest.fixture
def root_level() -> Iterator[None]:
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


def test_signals_change_the_lines_of_a_running_gateway(gateway: Gateway) -> None:
    told = []
    for number in (None, signal.SIGUSR1, signal.SIGUSR1, signal.SIGUSR2):
        if number is not None:
            tell(gateway, number)
        before = len(gateway.log_lines("request"))
        httpx.get(f"{gateway.url}/v1/models", trust_env=False).raise_for_status()
        if number is signal.SIGUSR1:
            # Written after the answer.
            until(lambda: len(gateway.log_lines("request")) > before)  # noqa: B023 - called in this turn
        told.append(len(gateway.log_lines("request")))

    assert told == [0, 1, 2, 2]
    changes = gateway.log_lines("log level changed")
    assert [line["to"] for line in changes] == ["INFO", "DEBUG", "WARNING"]
    assert {line["level"] for line in changes} == {"info"}


def tell(gateway: Gateway, number: signal.Signals) -> None:
    """Send a signal, and wait until it is obeyed."""
    lines = len(gateway.log_lines("log level changed"))
    gateway.process.send_signal(number)
    until(lambda: len(gateway.log_lines("log level changed")) > lines)


@pytest.mark.usefixtures("root_level")
def test_the_level_goes_back_by_itself_after_the_last_signal() -> None:
    async def run() -> list[int]:
        level, seen = LogLevel("ERROR"), []
        for wait_s in (BACK_S - 1, BACK_S - 1, 2):
            if wait_s > 2:
                level.log_more()
            await asyncio.sleep(wait_s)
            seen.append(logging.getLogger().level)
        return seen

    with asyncio.Runner(loop_factory=HeldLoop) as runner:
        assert runner.run(run()) == [logging.WARNING, logging.INFO, logging.ERROR]


@pytest.mark.usefixtures("root_level")
async def test_there_is_no_level_below_debug() -> None:
    level = LogLevel("INFO")
    for _ in range(3):
        level.log_more()

    assert logging.getLogger().level == logging.DEBUG
    level.go_back()
    assert logging.getLogger().level == logging.INFO
