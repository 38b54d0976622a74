"""Scrapes share renderings: they show what was counted before they came, and take a tenth of the loop at most."""

import asyncio

import pytest

from service.gateway.scrapes import Scrapes
from tests.fakes.clock import FakeClock

RENDERING_S = 0.01


class Numbers:
    """Metrics that count, and take their time to be rendered."""

    def __init__(self, clock: FakeClock) -> None:
        self.count = 0
        self.rendered: list[bool] = []
        self._clock = clock

    def render(self, is_openmetrics: bool) -> tuple[bytes, str]:
        self.rendered.append(is_openmetrics)
        self._clock.advance(RENDERING_S)
        return f"{self.count}".encode(), "text/plain"


@pytest.fixture
def numbers(clock: FakeClock) -> Numbers:
    return Numbers(clock)


async def test_scrapes_at_once_share_a_rendering(clock: FakeClock, numbers: Numbers) -> None:
    scrapes = Scrapes(numbers.render, clock)

    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(scrapes.render(False))

    # The first renders at once; the others came before it began, or share the next.
    assert len(numbers.rendered) <= 2


async def test_a_scrape_shows_what_was_counted_before_it(clock: FakeClock, numbers: Numbers) -> None:
    scrapes = Scrapes(numbers.render, clock)
    shown = []
    for number in range(5):
        numbers.count = number
        shown.append(int((await scrapes.render(False))[0]))

    assert shown == [0, 1, 2, 3, 4]


async def test_scrapes_without_end_take_a_tenth_of_the_loop(clock: FakeClock, numbers: Numbers) -> None:
    scrapes = Scrapes(numbers.render, clock)
    began_s = clock.monotonic_s()

    async def scrape() -> None:
        for _ in range(20):
            await scrapes.render(False)

    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(scrape())

    spent_s = RENDERING_S * len(numbers.rendered)
    assert spent_s <= 0.11 * (clock.monotonic_s() - began_s) + RENDERING_S


async def test_each_format_has_renderings_of_its_own(clock: FakeClock, numbers: Numbers) -> None:
    scrapes = Scrapes(numbers.render, clock)

    async with asyncio.TaskGroup() as group:
        for is_openmetrics in (False, True):
            group.create_task(scrapes.render(is_openmetrics))

    assert sorted(numbers.rendered) == [False, True]


async def test_a_scraper_that_left_blocks_no_other(clock: FakeClock, numbers: Numbers) -> None:
    scrapes = Scrapes(numbers.render, clock)
    await scrapes.render(False)
    async with asyncio.TaskGroup() as group:
        leaving = group.create_task(scrapes.render(False))
        await asyncio.sleep(0)
        leaving.cancel()

    assert (await scrapes.render(False))[0] == b"0"


async def test_a_rendering_that_took_long_delays_the_next_by_a_second(
    clock: FakeClock, numbers: Numbers
) -> None:
    def render(is_openmetrics: bool) -> tuple[bytes, str]:
        clock.advance(5)
        return numbers.render(is_openmetrics)

    scrapes = Scrapes(render, clock)
    await scrapes.render(False)
    began_s = clock.monotonic_s()
    await scrapes.render(False)

    assert clock.monotonic_s() - began_s == pytest.approx(1 + 5 + RENDERING_S)
