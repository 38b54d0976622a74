"""Holds and claims over time: settlements that come after a sweep, midnight between, and thousands of claims at once."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from tests.chaos.finding import Finding
from tests.chaos.ground import Ground, memory_mb
from tests.chaos.provider import Call, Provider, paint_after
from tests.chaos.row import NotTried, Rows
from tests.chaos.rows.money import LEASE_S, SECRETS
from tests.processes import Gateway

ROWS = Rows([])
_BURST = 100
"""Orders at once that even a busy machine begins before Redis seems to be away."""
_LEAST_COST_S = 50e-6
"""CPU of renewing one claim below which the ticks of the clock that counts it decide."""


@ROWS.add(
    "late-settlement",
    "a gateway stands still for longer than its lease, another sweeps its hold; then it goes on and settles",
    covers="P11 P5",
    waits=True,
)
async def late_settlement(ground: Ground, finding: Finding) -> None:
    slow, other, provider = await _pair(ground)
    await _settle_late(ground, finding, (slow, other, provider), _at_once)
    third = await ground.order(other.url)
    finding.equal("a third order of that day", third.code, "insufficient_quota")


# It waits, too, but sets variables for what it starts, which nothing else may start with.
@ROWS.add("late-past-midnight", "the same, with midnight between the sweep and the settlement", covers="P11")
async def late_past_midnight(ground: Ground, finding: Finding) -> None:
    with _wall_clock(ground.directory / "clock") as clock:
        slow, other, provider = await _pair(ground)
    now = datetime.now(UTC)
    evening = now.replace(hour=23, minute=58, second=55) + timedelta(days=1)
    offset_s = int((evening - now).total_seconds())

    def set_clock(to_s: int) -> None:
        clock.write_text(f"+{to_s}", "utf-8")

    async def pass_midnight() -> None:
        """Move the clock to just after midnight, by less than a lease: those of others would lapse."""
        left_s = (
            evening.replace(second=0, hour=0, minute=0) + timedelta(days=1) - _now(offset_s)
        ).total_seconds()
        set_clock(offset_s + min(max(0, int(left_s) + 2), LEASE_S - 5))
        await asyncio.sleep(max(1, left_s + 2 - (LEASE_S - 5)))

    set_clock(offset_s)
    await asyncio.sleep(1)
    await _settle_late(ground, finding, (slow, other, provider), pass_midnight)
    third = await ground.order(other.url)
    finding.equal("an order of the next day", third.code, "200")


def _now(offset_s: int) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=offset_s)


async def _at_once() -> None:
    """Let no time pass."""


async def _pair(ground: Ground) -> tuple[Gateway, Gateway, Provider]:
    """Start two replicas whose callers have two images a day."""
    provider = await ground.provider(paint_after(1))
    valkey = await ground.valkey()
    given: dict[str, object] = {
        "redis_url": valkey.url,
        "secrets": SECRETS,
        "replicas": 2,
        "store_url": (ground.directory / "files").as_uri(),
        "default_policy__images_per_day": 2,
    }
    slow = await ground.gateway(provider, "slow", **given)
    return slow, await ground.gateway(provider, "other", **given), provider


async def _settle_late(
    ground: Ground,
    finding: Finding,
    servers: tuple[Gateway, Gateway, Provider],
    passing: Callable[[], Awaitable[None]],
) -> None:
    """Settle an order after its hold was swept and *passing* has passed."""
    slow, other, provider = servers
    async with asyncio.TaskGroup() as group:
        order = group.create_task(ground.order(slow.url))
        await provider.until_called(1)
        slow.process.send_signal(signal.SIGSTOP)
        second = await ground.order(other.url)
        finding.equal("another order", second.code, "200")
        ground.tell("waiting until the hold lapses and is swept")
        await asyncio.sleep(LEASE_S)
        swept = await _until_booked_in_all_days(ground, other, made=1, unknown=1)
        finding.equal("booked while it stands still", +swept, {"made": 1, "unknown": 1})
        await passing()
        slow.process.send_signal(signal.SIGCONT)
    finding.equal("the order that stood still", order.result().code, "200")
    booked = await _until_booked_in_all_days(ground, other, made=2)
    finding.equal("booked in the end", +booked, {"made": 2})


async def _until_booked_in_all_days(ground: Ground, gateway: Gateway, **outcomes: int) -> Counter[str]:
    """Return the ledger of the days around this one once it has *outcomes*, or as it is after a while."""
    today, end_s = datetime.now(UTC).date(), time.monotonic() + 20
    days = f"from={today - timedelta(days=2)}&to={today + timedelta(days=3)}"
    while True:
        usage = (await ground.ask("GET", f"{gateway.url}/v1/usage?{days}")).json
        booked: Counter[str] = Counter()
        for entry in usage["data"]:
            booked[entry["outcome"]] += entry["images"]
            booked["below zero"] += entry["images"] < 0
        if not Counter(outcomes) - booked or time.monotonic() > end_s:
            return booked
        await asyncio.sleep(0.2)


@contextmanager
def _wall_clock(file: Path) -> Iterator[Path]:
    """Give what is started meanwhile a wall clock that is off by the seconds in *file*; its monotonic clock is right."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not libraries:
        raise NotTried("libfaketime is not installed (sudo apt-get install faketime)")
    file.write_text("+0", "utf-8")
    given = {
        "LD_PRELOAD": f"{libraries[0]}",
        "FAKETIME_TIMESTAMP_FILE": f"{file}",
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    os.environ |= given  # noqa: TID251 - the children's environment, not a setting
    try:
        yield file
    finally:
        for name in given:
            del os.environ[name]  # noqa: TID251 - as above


@ROWS.add(
    "many-claims",
    "a team's thousands of claims held at a silent provider: CPU of their renewals",
    covers="P14",
    waits=True,
)
async def many_claims(ground: Ground, finding: Finding) -> None:
    sizes = (400, 1600) if ground.is_short else (1000, 4000)
    provider = await ground.provider(Call.hang)
    gateway = await ground.gateway(provider, max_calls_in_flight=20_000, deadline_s=200)
    costs = []
    async with asyncio.TaskGroup() as group:
        tasks: list[asyncio.Task[object]] = []
        for size in sizes:
            ground.tell(f"{size} orders")
            while len(tasks) < size:
                tasks += [group.create_task(ground.order(gateway.url)) for _ in range(_BURST)]
                await provider.until_called(len(tasks))
            await asyncio.sleep(2)
            costs.append(await _busiest_second(gateway, LEASE_S / 3 + 1) / size)
        finding.note(f"CPU ms per claim and renewal {[round(1000 * cost, 2) for cost in costs]}")
        finding.at_most(
            "four times the claims: CPU per claim, times", costs[1] / max(costs[0], _LEAST_COST_S), 2.0
        )
        finding.at_most("MB", memory_mb(gateway), 1000)
        for task in tasks:
            task.cancel()


async def _busiest_second(gateway: Gateway, seconds: float) -> float:
    """Return the CPU of the busiest second: all claims are renewed at once, a third of a lease after the last time."""
    marks = [_cpu_s(gateway)]
    for _ in range(round(2 * seconds)):
        await asyncio.sleep(0.5)
        marks.append(_cpu_s(gateway))
    return max(later - earlier for earlier, later in zip(marks, marks[2:], strict=False))


def _cpu_s(gateway: Gateway) -> float:
    """Return the CPU of a gateway and of its Valkey so far."""
    process = psutil.Process(gateway.process.pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))
