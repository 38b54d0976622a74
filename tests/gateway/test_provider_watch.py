"""The provider is checked at the start, and again until it is well; calls tell of it from then on."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import httpx

from service.adapters.openai.address import BackendAddress
from service.adapters.openai.check import ProviderCheck
from service.adapters.telemetry.health import ProviderHealth
from service.adapters.telemetry.recorder import FactRecorder
from service.domain.backends import KeyName
from service.domain.images import Realm
from service.wiring.backends import watch_backends
from tests.fakes.clock import FakeClock
from tests.gateway.assembly import in_background

ADDRESS = BackendAddress(name="openai", realm=Realm.LIVE, url="http://provider/v1", api_key="sk-ours")
GOOD = httpx.Response(200, json={"data": []})


async def looks_in(
    duration_s: float, clock: FakeClock, answer: Callable[[int], httpx.Response]
) -> list[float]:
    """Return when the provider was asked in the first *duration_s*; *answer* gets the number of the look."""
    began_s, looks = clock.monotonic_s(), list[float]()

    def handle(_: httpx.Request) -> httpx.Response:
        looks.append(round(clock.monotonic_s() - began_s))
        return answer(len(looks))

    health = ProviderHealth(clock)
    telemetry = FactRecorder(health.handlers)
    check = ProviderCheck(
        ADDRESS,
        name=KeyName("openai", "key-1"),
        transport=httpx.MockTransport(handle),
        telemetry=telemetry,
    )
    async with in_background(watch_backends([check], health)):
        await asyncio.sleep(duration_s)
    return looks


async def test_a_provider_that_is_well_is_left_alone(clock: FakeClock) -> None:
    assert await looks_in(600.0, clock, lambda _: GOOD) == [0]


async def test_a_failing_provider_is_probed_each_minute_until_it_is_back(clock: FakeClock) -> None:
    def answer(number: int) -> httpx.Response:
        if number < 3:
            raise httpx.ConnectError("away")
        return GOOD

    assert await looks_in(600.0, clock, answer) == [0, 60, 120]


async def test_only_the_key_that_fails_is_probed_again(clock: FakeClock) -> None:
    asked = list[str]()

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["authorization"])
        if asked[-1] == "Bearer sk-away":
            raise httpx.ConnectError("away")
        return GOOD

    health, transport = ProviderHealth(clock), httpx.MockTransport(handle)
    checks = [
        ProviderCheck(
            replace(ADDRESS, api_key=f"sk-{name}"),
            name=KeyName("openai", name),
            transport=transport,
            telemetry=FactRecorder(health.handlers),
        )
        for name in ("ours", "away")
    ]
    async with in_background(watch_backends(checks, health)):
        await asyncio.sleep(150)

    assert sorted(asked) == ["Bearer sk-away"] * 3 + ["Bearer sk-ours"]
