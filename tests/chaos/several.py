"""Give a gateway several backends and keys, and judge what all of them were paid for.

Owns the configuration file, scripts that act by the key of a call, and the judgement of answers, books and metrics.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import orjson

from tests.chaos.finding import Finding
from tests.chaos.ground import Answer, Ground
from tests.chaos.provider import Call, Provider, Script, paint
from tests.processes import Gateway, run_gateway

CALL_S = 0.1
"""The usual time of a call."""


@dataclass(slots=True)
class ByKey:
    """A script with one for each key, which may be replaced at any time; *otherwise* is that of the others."""

    scripts: dict[str, Script] = field(default_factory=dict)
    otherwise: Script = paint

    async def __call__(self, call: Call) -> None:
        await self.scripts.get(call.key, self.otherwise)(call)


@dataclass(slots=True)
class Throttled:
    """The script of a key that is throttled for *pause_s* from its first call on; *began_s* is the instant of that."""

    pause_s: float
    began_s: float | None = None

    @property
    def ends_s(self) -> float:
        return (self.began_s or 0.0) + self.pause_s

    async def __call__(self, call: Call) -> None:
        self.began_s = self.began_s or time.monotonic()
        left_s = self.ends_s - time.monotonic()
        await (call.throttle(left_s) if left_s > 0 else call.paint())


def fails_with(status: int, code: str | None = None, *, after_s: float = 0, **fields: object) -> Script:
    """Return the script of a provider that answers nothing but this error, *after_s*."""

    async def script(call: Call) -> None:
        await asyncio.sleep(after_s)
        await call.fail(status, code, **fields)

    return script


def backend(name: str, url: str, keys: Mapping[str, Mapping[str, object]], **fields: object) -> str:
    """Return the table of a backend, whose *keys* have a name and fields; the key itself is `sk-` and the name."""
    named = [{"name": each, "key": f"sk-{each}", **more} for each, more in keys.items()]
    given = {"name": name, "url": url, **fields, "keys": named}
    lines = [f"{member} = {_toml(value)}" for member, value in given.items()]
    return "\n".join(["[[backends]]", *lines, ""])


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_toml(name)} = {_toml(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return value.isoformat() if isinstance(value, date) else orjson.dumps(value).decode()


async def gateway_with(
    ground: Ground, tables: Iterable[str], name: str = "gateway", **settings: Any
) -> Gateway:
    """Start a gateway with the backends of *tables*, without limits unless *settings* say so."""
    ground.tell(f"starting {name}")
    file = ground.directory / f"{name}.toml"
    file.write_text("\n".join(tables), "utf-8")
    limits = {"default_policy__requests_per_min": 0, "default_policy__images_per_min": 0}
    given: dict[str, Any] = {"config": file, "drain_s": 1, **limits, **settings}
    return await ground.enter(lambda: run_gateway(ground.directory / name, **given))


async def burst(ground: Ground, gateways: Sequence[Gateway], orders: int) -> list[Answer]:
    """Send all orders at once, to the gateways in turn."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(ground.order(gateways[number % len(gateways)].url)) for number in range(orders)
        ]
    return [task.result() for task in tasks]


async def stream(
    ground: Ground, gateways: Sequence[Gateway], rate_per_s: float, seconds: float
) -> list[Answer]:
    """Send *rate_per_s* orders, to the gateways in turn, whether or not others were answered."""
    began_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        tasks = []
        for number in range(int(rate_per_s * seconds)):
            await asyncio.sleep(began_s + number / rate_per_s - time.monotonic())
            tasks.append(group.create_task(ground.order(gateways[number % len(gateways)].url)))
    return [task.result() for task in tasks]


def expect_all_served(finding: Finding, name: str, answers: Sequence[Answer]) -> None:
    finding.equal(name, Counter(answer.code for answer in answers), {"200": len(answers)})


async def expect_books(
    ground: Ground, finding: Finding, gateway: Gateway, providers: Sequence[Provider], *, unknown: int = 0
) -> None:
    """Expect that the ledger has as made what the providers were paid for, besides *unknown* outcomes, and nothing else."""
    async with asyncio.timeout(30):
        # Its breaker may find out late that Redis is back.
        while (await ground.ask("GET", f"{gateway.url}/v1/usage")).status != 200:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)
    paid = sum(provider.paid for provider in providers)
    booked = await ground.until_booked(gateway.url, made=paid, unknown=unknown)
    finding.equal(f"booked of {paid} paid", +booked, +Counter(made=paid, unknown=unknown))


async def count_attempts(ground: Ground, gateways: Sequence[Gateway], **labels: str) -> int:
    """Return how many attempts the gateways have counted."""
    return await _count(ground, gateways, "imagegw_backend_key_attempts_total", labels)


async def count_rests(ground: Ground, gateways: Sequence[Gateway], **labels: str) -> int:
    """Return how many rests of keys the gateways have begun."""
    return await _count(ground, gateways, "imagegw_backend_key_rests_total", labels)


async def count_crossed(ground: Ground, gateways: Sequence[Gateway], **labels: str) -> int:
    """Return how many calls of the gateways went on at another key."""
    return await _count(ground, gateways, "imagegw_calls_crossed_total", labels)


async def _count(ground: Ground, gateways: Sequence[Gateway], name: str, labels: Mapping[str, str]) -> int:
    return round(sum([await ground.metric(each.url, name, **labels) for each in gateways]))
