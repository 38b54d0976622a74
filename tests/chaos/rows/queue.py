"""More orders than the provider can make, callers that crowd out others, callers that leave, a provider that slows."""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tests.chaos.finding import Finding
from tests.chaos.ground import Answer, Ground, memory_mb
from tests.chaos.provider import Call, Provider, paint_after
from tests.chaos.row import NotTried, Rows
from tests.processes import Gateway

ROWS = Rows([])
_SAMPLES = 24
"""Calls after which a gateway knows how long they take."""
_MOST_MB = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """An open load: *rate_per_s* orders, whether or not others were answered."""

    rate_per_s: float
    duration_s: float
    headers: Mapping[str, str] | None = None


async def offer(ground: Ground, url: str, load: Load) -> list[Answer]:
    """Send the orders and return all answers."""
    began_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        tasks = []
        for number in range(int(load.rate_per_s * load.duration_s)):
            await asyncio.sleep(began_s + number / load.rate_per_s - time.monotonic())
            tasks.append(group.create_task(ground.order(url, headers=load.headers)))
    return [task.result() for task in tasks]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How large an overload is: calls that take *call_s*, so many at once that a second makes *capacity_per_s* images."""

    call_s: float
    deadline_s: float
    duration_s: float
    capacity_per_s: float

    @property
    def slots(self) -> int:
        return int(self.call_s * self.capacity_per_s)


@ROWS.add("overload", "five times as many orders as the provider can make; then the load ends", covers="A1")
async def overload(ground: Ground, finding: Finding) -> None:
    short = Scale(call_s=0.5, deadline_s=4, duration_s=10, capacity_per_s=8)
    scale = short if ground.is_short else Scale(call_s=4, deadline_s=30, duration_s=120, capacity_per_s=16)
    await _overload(ground, finding, scale, {})


@ROWS.add("impatient-overload", "the same by callers with a short `x-request-timeout-s`", covers="A1")
async def impatient_overload(ground: Ground, finding: Finding) -> None:
    short = Scale(call_s=0.5, deadline_s=3, duration_s=10, capacity_per_s=8)
    scale = short if ground.is_short else Scale(call_s=4, deadline_s=10, duration_s=120, capacity_per_s=16)
    await _overload(ground, finding, scale, {"x-request-timeout-s": str(scale.deadline_s)})


async def _overload(ground: Ground, finding: Finding, scale: Scale, headers: dict[str, str]) -> None:
    provider = await ground.provider(paint_after(scale.call_s))
    gateway = await ground.gateway(provider, deadline_s=scale.deadline_s, max_calls_in_flight=scale.slots)
    # A machine that is busy with other tests makes fewer: overload must not make it less than these.
    capacity_per_s = min(scale.capacity_per_s, await _warm_up(ground, gateway, scale.slots))
    if capacity_per_s < 0.75 * scale.capacity_per_s:
        raise NotTried(
            f"the machine is too busy: {capacity_per_s:.1f} of {scale.capacity_per_s:.0f} images a second"
        )
    paid_before = len(provider.calls)
    load = Load(rate_per_s=5 * scale.capacity_per_s, duration_s=scale.duration_s, headers=headers)
    ground.tell(f"{load.rate_per_s}/s for {load.duration_s} s")
    began_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        peak = group.create_task(_peak_mb(gateway, load.duration_s))
        offered = group.create_task(offer(ground, gateway.url, load))
        later = group.create_task(_ask_after(ground, gateway, load.duration_s + 5))
    answers = offered.result()
    _judge_overload(finding, scale, answers, began_s, capacity_per_s)
    delivered = sum(answer.images for answer in (*answers, *later.result()))
    calls = len(provider.calls) - paid_before
    finding.at_most("provider calls per delivered image", calls / max(1, delivered), 1.05)
    unknown = (await ground.booked(gateway.url))["unknown"]
    finding.at_most("unknown per call", unknown / max(1, calls), 0.01)
    finding.equal("answers 5 s after the end", Counter(one.code for one in later.result()), {"200": 4})
    finding.at_most("peak MB", peak.result(), _MOST_MB)


def _judge_overload(
    finding: Finding, scale: Scale, answers: list[Answer], began_s: float, capacity_per_s: float
) -> None:
    """Judge goodput by windows: from the second round of calls to the end of the load."""
    finding.note(f"answers {dict(Counter(answer.code for answer in answers))}")
    ends = [answer.ended_s - began_s for answer in answers if answer.status == 200]
    window_s, first_s = max(3 * scale.call_s, 2.0), 2 * scale.call_s
    windows = int((scale.duration_s - first_s) / window_s)
    goodput = [
        sum(first_s + i * window_s <= end < first_s + (i + 1) * window_s for end in ends) / window_s
        for i in range(windows)
    ]
    share = [each / capacity_per_s for each in goodput]
    finding.note(f"capacity {capacity_per_s:.1f} of {scale.capacity_per_s:.0f} a second")
    # A short window is two dozen calls: one pause of a busy machine shows, but no collapse looks like it.
    is_short = window_s < 5
    finding.at_least("goodput/capacity, mean", statistics.mean(share), 0.8 if is_short else 0.9)
    finding.at_least("in the worst window", min(share), 0.3 if is_short else 0.9)
    waits = [answer.took_s for answer in answers if answer.code == "overloaded"]
    if waits:
        finding.note(f"a refusal took {statistics.median(waits) * 1000:.0f} ms")
    refused = [answer for answer in answers if answer.status == 503]
    finding.is_true("refusals have retry-after", is_so=all("retry-after" in one.headers for one in refused))


async def _warm_up(ground: Ground, gateway: Gateway, at_once: int) -> float:
    """Let it see two dozen calls, as a gateway that has run for minutes has; returns how many a second were made."""
    made, began_s = 0, time.monotonic()
    while made < _SAMPLES:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(ground.order(gateway.url))
        made += at_once
    return made / (time.monotonic() - began_s)


async def _peak_mb(gateway: Gateway, seconds: float) -> float:
    peak, end_s = 0.0, time.monotonic() + seconds
    while time.monotonic() < end_s:
        peak = max(peak, memory_mb(gateway))
        await asyncio.sleep(0.5)
    return peak


async def _ask_after(ground: Ground, gateway: Gateway, seconds: float) -> list[Answer]:
    await asyncio.sleep(seconds)
    return await offer(ground, gateway.url, Load(rate_per_s=4, duration_s=1))


@ROWS.add("slowed-provider", "a provider that becomes slower than the deadline, and quick again", covers="A1")
async def slowed_provider(ground: Ground, finding: Finding) -> None:
    provider = await ground.provider(paint_after(0.2))
    gateway = await ground.gateway(provider, deadline_s=2, max_calls_in_flight=8)
    await _warm_up(ground, gateway, 8)
    seconds = 10 if ground.is_short else 60
    before = len(provider.calls)
    provider.script = paint_after(30)
    ground.tell("slow")
    slow = await offer(ground, gateway.url, Load(rate_per_s=10, duration_s=seconds))
    calls = len(provider.calls) - before
    finding.note(f"slow for {seconds} s: answers {dict(Counter(one.code for one in slow))}")
    # Two rounds of calls teach it; then one probe at a time, each as long as a deadline.
    finding.at_most(f"calls of {len(slow)} orders", calls, 2 * 8 + 5 + seconds / 2 + 2)
    provider.script = paint_after(0.2)
    ground.tell("quick again")
    await offer(ground, gateway.url, Load(rate_per_s=10, duration_s=5))
    again = await offer(ground, gateway.url, Load(rate_per_s=10, duration_s=2))
    finding.equal("5 s after it is quick", Counter(one.code for one in again), {"200": 20})


@ROWS.add("fair-turns", "one caller's 50 orders of n=10 before another's single image", covers="A1")
async def fair_turns(ground: Ground, finding: Finding) -> None:
    slots, orders = 8, 20 if ground.is_short else 50
    provider = await ground.provider(paint_after(0.5))
    gateway = await ground.gateway(provider, max_calls_in_flight=slots)
    async with asyncio.TaskGroup() as group:
        crowd = [group.create_task(ground.order(gateway.url, n=10, user="many")) for _ in range(orders)]
        await asyncio.sleep(2)
        singles = []
        for number in range(3):
            before = len(provider.calls)
            answer = await ground.order(gateway.url, f"single {number}", user=f"single {number}")
            mine = next((call.number for call in provider.calls if call.prompt == f"single {number}"), None)
            singles.append((mine or 10**6) - before - 1)
            finding.equal("single", answer.code, "200")
            finding.note(f"{answer.took_s:.1f} s")
        finding.at_most("calls sent before it in one image time", max(singles), slots)
        for task in crowd:
            task.cancel()


@ROWS.add("leavers", "a hundred callers hang up while they wait for one of the calls in flight", covers="A3")
async def leavers(ground: Ground, finding: Finding) -> None:
    provider = await ground.provider(paint_after(2))
    gateway = await ground.gateway(provider, max_calls_in_flight=4)
    async with asyncio.TaskGroup() as group:
        staying = [group.create_task(ground.order(gateway.url, f"stays {i}")) for i in range(4)]
        await provider.until_called(4)
        leaving = [group.create_task(ground.order(gateway.url, f"leaves {i}")) for i in range(100)]
        await asyncio.sleep(0.7)
        for task in leaving:
            task.cancel()
    finding.equal("who stayed", Counter(task.result().code for task in staying), {"200": 4})
    await asyncio.sleep(2.5)
    last = await ground.order(gateway.url)
    finding.equal("an order afterwards", last.code, "200")
    finding.equal("calls of the 100 who left", len(provider.calls) - 5, 0)
    finding.equal("booked", +await ground.until_booked(gateway.url, made=5), {"made": 5})


@ROWS.add(
    "equal-orders-failing",
    "30 equal orders while every call fails after a second, unbilled (503, then 401)",
    covers="P8",
)
async def equal_orders_failing(ground: Ground, finding: Finding) -> None:
    status = 503

    async def fail(call: Call) -> None:
        await asyncio.sleep(1)
        await call.fail(status)

    provider = await ground.provider(fail)
    gateway = await ground.gateway(provider)
    for status in (503, 401):
        lone = await ground.order(gateway.url)
        lone_calls = len(provider.calls)
        together = await _together(ground, gateway, provider, f"equal {status}")
        calls = len(provider.calls) - lone_calls
        last_s = max(answer.took_s for answer in together)
        finding.note(f"{status}: alone {lone.took_s:.1f} s and {lone_calls} calls")
        finding.at_most("the last of 30, times that", last_s / lone.took_s, 2.0)
        finding.at_most("calls", calls, 2 * lone_calls)
        provider.calls.clear()


async def _together(ground: Ground, gateway: Gateway, provider: Provider, prompt: str) -> list[Answer]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ground.order(gateway.url, prompt)) for _ in range(30)]
    return [task.result() for task in tasks]


@ROWS.add(
    "unknown-outcomes", "a provider that breaks every call after it was sent, then works again", covers="A1"
)
async def unknown_outcomes(ground: Ground, finding: Finding) -> None:
    seconds = 8 if ground.is_short else 60

    async def break_off(call: Call) -> None:
        await asyncio.sleep(1)
        call.reset()

    provider = await ground.provider(break_off)
    gateway = await ground.gateway(provider)
    broken = await offer(ground, gateway.url, Load(rate_per_s=10, duration_s=seconds))
    # A second until the first breaks, and one probe a second from the fifth on.
    finding.at_most(f"calls of {len(broken)} orders", len(provider.calls), 2 * 10 + 5 + seconds)
    finding.note(f"answers {dict(Counter(one.code for one in broken))}")
    booked = await ground.until_booked(gateway.url, unknown=len(provider.calls))
    finding.equal("booked unknown", booked["unknown"], len(provider.calls))
    provider.script = paint_after(0.1)
    await offer(ground, gateway.url, Load(rate_per_s=10, duration_s=3))
    again = await offer(ground, gateway.url, Load(rate_per_s=10, duration_s=1))
    finding.equal("3 s after it works", Counter(one.code for one in again), {"200": 10})
