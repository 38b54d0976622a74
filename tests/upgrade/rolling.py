"""Replace gateways of an earlier version by those of the working tree and back, under load, and judge what it left.

Two gateways share a Valkey, a store and a provider. One after the other is stopped and started again in its own
data directory with the other version, so old and new ones run beside each other twice.
"""

import asyncio
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.chaos.finding import Finding
from tests.chaos.ground import WITH_KEYS, Ground
from tests.journals import count_unsettled
from tests.processes import REPOSITORY, Gateway, Valkey, run_gateway
from tests.sandbox.process import SandboxHandle, run_sandbox
from tests.upgrade.judgement import judge
from tests.upgrade.orders import Load, keep_ordering, open_callers

LATENCY_S = 0.4
_ORDERS_WITHOUT_REDIS = _ORDERS_KILLED = 4
_SLOW_S = 5
_LAPSED_S = 75
"""Longer than a lease and the sweep that follows it."""
_SETTINGS: dict[str, Any] = {
    **WITH_KEYS,
    "secrets": "a-secret-all-replicas-share",
    "replicas": 2,
    "default_policy__requests_per_min": 0,
    "default_policy__images_per_min": 0,
    "sweep_s": 2,
    "lame_duck_s": 1,
    "drain_s": 20,
    "openai_api_key": "sk-upgrade",
}


@dataclass(slots=True)
class Site:
    """Two gateways, each of the old or the new version."""

    ground: Ground
    sandbox: SandboxHandle
    valkey: Valkey
    checkouts: dict[str, Path]
    versions: list[str] = field(default_factory=list)

    @property
    def directories(self) -> list[Path]:
        return [self.ground.directory / f"replica-{number}" for number in range(2)]

    async def start(self, number: int, version: str) -> Gateway:
        """Start the gateway *number*; raises AssertionError with its log if it refuses."""
        settings = _SETTINGS | {
            "redis_url": self.valkey.url,
            "store_url": (self.ground.directory / "store").as_uri(),
            "openai_base_url": f"{self.sandbox.url}/v1",
        }
        opening = partial(run_gateway, self.directories[number], checkout=self.checkouts[version], **settings)
        return await self.ground.enter(opening)


async def roll(ground: Ground, finding: Finding, old: Path, *, dwell_s: float) -> None:
    """Roll from *old*, a checkout, to the working tree and back; each mixture lasts *dwell_s*."""
    sandbox = await ground.stack.enter_async_context(run_sandbox())
    await sandbox.behave(paint="flat", latency_s=LATENCY_S)
    site = Site(ground, sandbox, await ground.valkey(), {"old": old, "new": REPOSITORY})
    gateways = [await site.start(number, "old") for number in range(2)]
    load = Load(await open_callers(ground, gateways), gateways)
    codes = []
    async with asyncio.TaskGroup() as group:
        group.create_task(keep_ordering(load))
        try:
            for version, number in (("new", 1), ("new", 0), ("old", 1), ("old", 0)):
                await asyncio.sleep(dwell_s)
                ground.tell(f"{load.total} answers; replica {number} becomes {version}")
                leaving = gateways[number]
                load.gateways = [one for one in gateways if one is not leaving]
                codes.append(await asyncio.to_thread(leaving.stop))
                gateways[number] = await site.start(number, version)
                load.gateways = list(gateways)
            await asyncio.sleep(dwell_s)
        finally:
            load.is_over = True
    finding.equal("exit codes of the gateways replaced", codes, [0] * 4)
    await judge(site.directories, site.valkey, sandbox, load, finding)
    for version in ("new", "old"):
        gateways[0] = await _replace_without_redis(site, gateways[0], version, load.callers["crowd"], finding)
    for version in ("new", "old"):
        gateways[0] = await _replace_killed(site, gateways[0], version, load.callers["crowd"], finding)


async def _replace_without_redis(
    site: Site, leaving: Gateway, version: str, caller: Ground, finding: Finding
) -> Gateway:
    """Order while Redis hangs, stop, and start *version* on what the journal kept; returns its gateway."""
    before = (await caller.booked(leaving.url))["made"]
    site.valkey.signal(signal.SIGSTOP)
    try:
        answers = [await caller.order(leaving.url) for _ in range(_ORDERS_WITHOUT_REDIS)]
        await asyncio.to_thread(leaving.stop)
    finally:
        site.valkey.signal(signal.SIGCONT)
    kept = count_unsettled(site.directories[0])
    finding.equal(
        f"{kept} in the journal of the version before: answers",
        [a.status for a in answers],
        [200] * _ORDERS_WITHOUT_REDIS,
    )
    gateway = await site.start(0, version)
    booked = await caller.until_booked(gateway.url, made=before + _ORDERS_WITHOUT_REDIS)
    finding.equal(f"booked by the {version} one", booked["made"] - before, _ORDERS_WITHOUT_REDIS)
    return gateway


async def _replace_killed(
    site: Site, leaving: Gateway, version: str, caller: Ground, finding: Finding
) -> Gateway:
    """Kill a gateway under orders, and start *version* in its place; returns its gateway."""
    before = (await caller.booked(leaving.url))["unknown"]
    asked = len(await site.sandbox.journal())
    await site.sandbox.behave(paint="flat", latency_s=_SLOW_S)
    async with asyncio.TaskGroup() as group:
        for _ in range(_ORDERS_KILLED):
            group.create_task(caller.order(leaving.url))
        await site.sandbox.until_asked(asked + _ORDERS_KILLED)
        await asyncio.to_thread(leaving.kill)
    await site.sandbox.behave(paint="flat", latency_s=LATENCY_S)
    gateway = await site.start(0, version)
    began_s, booked = time.monotonic(), Counter[str]()
    # Earlier versions do not name the owner of a hold, which then ends with its lease.
    while booked["unknown"] < before + _ORDERS_KILLED and time.monotonic() < began_s + _LAPSED_S:
        booked = await caller.until_booked(gateway.url, unknown=before + _ORDERS_KILLED)
    finding.note(
        f"killed, replaced by a {version} one: {time.monotonic() - began_s:.0f} s until all was booked"
    )
    finding.equal("cut off and booked", booked["unknown"] - before, _ORDERS_KILLED)
    return gateway
