"""`make incidents`: break six things, one after the other, and show which panel and which alert tell each.

Prints a Markdown table. Ends with 1 if a panel told an incident before it began, or does not tell it, or if its alert
does not become active.
"""

import argparse
import asyncio
import contextlib
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.chaos.ground import open_ground
from tests.chaos.workers import tell
from tests.observe.expressions import Expression, load_dashboard, panels_of
from tests.observe.orders import Orders, ordering
from tests.observe.stack import Stack, open_stack

_CALM_S = 20
_PATIENCE_S = 60
_RATE_S = 10
_ENDING_MODEL = "gpt-image-1.5"
_DAYS_LEFT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One thing that breaks; *cause* breaks it while its block runs.

    *panel* tells it by the value of the series *legend*, a regular expression: `is_told` is true of it, or of None
    for no such series.
    """

    name: str
    words: str
    cause: Callable[[Stack, Orders], AbstractAsyncContextManager[None]]
    dashboard: str
    panel: str
    alert: str
    is_told: Callable[[float | None], bool]
    legend: str = ".*"


@dataclass(frozen=True, slots=True)
class Seen:
    """What an operator saw of an incident."""

    incident: Incident
    before: float | None
    during: float | None
    alert: str

    @property
    def is_good(self) -> bool:
        is_told = self.incident.is_told
        return not is_told(self.before) and is_told(self.during) and bool(self.alert)


@contextlib.asynccontextmanager
async def _revoke_key(stack: Stack, _: Orders) -> AsyncIterator[None]:
    stack.moods.is_key_revoked = True
    yield
    stack.moods.is_key_revoked = False


@contextlib.asynccontextmanager
async def _pause_redis(stack: Stack, _: Orders) -> AsyncIterator[None]:
    stack.valkey.signal(signal.SIGSTOP)
    yield
    stack.valkey.signal(signal.SIGCONT)


@contextlib.asynccontextmanager
async def _throttle_team(_: Stack, orders: Orders) -> AsyncIterator[None]:
    """Let the shop order ten times as much; its policy allows 60 images a minute."""
    usual, orders.pace["shop"] = orders.pace["shop"], 10 * orders.pace["shop"]
    yield
    orders.pace["shop"] = usual


@contextlib.asynccontextmanager
async def _fill_store(stack: Stack, _: Orders) -> AsyncIterator[None]:
    if stack.disk is None:
        raise AssertionError("the store has no disk of its own: mounting is not allowed here")
    stack.disk.fill()
    yield
    stack.disk.free()


@contextlib.asynccontextmanager
async def _saturate_queue(stack: Stack, orders: Orders) -> AsyncIterator[None]:
    """Let the provider take a quarter of a minute for a call, and studio order more."""
    usual, orders.pace["studio"] = orders.pace["studio"], 4 * orders.pace["studio"]
    stack.moods.typical_s, usual_s = 15, stack.moods.typical_s
    yield
    stack.moods.typical_s, orders.pace["studio"] = usual_s, usual


@contextlib.asynccontextmanager
async def _order_ending_model(_: Stack, orders: Orders) -> AsyncIterator[None]:
    usual, orders.models["press"] = orders.models["press"], (_ENDING_MODEL,)
    yield
    orders.models["press"] = usual


INCIDENTS = (
    Incident(
        name="model",
        words=f"a model has {_DAYS_LEFT} days left, and a team still asks for it",
        cause=_order_ending_model,
        dashboard="imagegw-upstream",
        panel="Who still asks for a model with an end?",
        legend=f"{_ENDING_MODEL} press",
        is_told=bool,
        alert="ImageGatewayModelEnds",
    ),
    Incident(
        name="throttled",
        words="one team orders far more than its policy allows",
        cause=_throttle_team,
        dashboard="imagegw-limits",
        panel="Which share of a team's orders do limits refuse?",
        legend="shop",
        is_told=lambda value: value is not None and value > 0.5,
        alert="ImageGatewayTeamThrottled",
    ),
    Incident(
        name="queue",
        words="the provider is slow, and more is ordered than it makes",
        cause=_saturate_queue,
        dashboard="imagegw-overview",
        panel="How full is the queue?",
        is_told=lambda value: value is not None and value > 0.8,
        alert="ImageGatewayQueueSaturated",
    ),
    Incident(
        name="store",
        words="the disk of the image store is full",
        cause=_fill_store,
        dashboard="imagegw-overview",
        panel="Does the store work?",
        is_told=lambda value: value == 1,
        alert="ImageGatewayStoreFails",
    ),
    Incident(
        name="redis",
        words="Redis hangs",
        cause=_pause_redis,
        dashboard="imagegw-overview",
        panel="Is Redis there?",
        is_told=lambda value: value == 0,
        alert="ImageGatewayRedisAway",
    ),
    Incident(
        name="key",
        words="the provider's key is revoked",
        cause=_revoke_key,
        dashboard="imagegw-overview",
        panel="Is our key accepted?",
        is_told=lambda value: value == 1,
        alert="ImageGatewayProviderRefusesKey",
    ),
)
"""In an order in which no incident tells on the panel of a later one."""


async def run(incidents: Sequence[Incident], directory: Path) -> list[Seen]:
    """Cause each incident in turn, and return what its panel and its alert said."""
    shutdown = (datetime.now(UTC) + timedelta(days=_DAYS_LEFT)).date()
    config = f'[models."{_ENDING_MODEL}"]\nshutdown = {shutdown}\n'
    async with open_ground(directory, is_short=False, tell=tell) as ground:
        stack = await open_stack(ground, config=config)
        async with ordering(stack) as orders:
            await asyncio.sleep(_CALM_S)
            return [await _see(stack, orders, incident) for incident in incidents]


async def _see(stack: Stack, orders: Orders, incident: Incident) -> Seen:
    """Cause an incident until its panel tells it and its alert is active, or patience ends; then let all recover."""
    tell(f"{incident.name}: {incident.words} ...")
    before = await _read(stack, incident, range_s=_CALM_S)
    during, states = before, await stack.prometheus.alerts()
    if incident.alert in states:
        raise AssertionError(f"{incident.alert} was {states[incident.alert]} before {incident.name}")
    async with incident.cause(stack, orders):
        for second in range(1, _PATIENCE_S):
            await asyncio.sleep(1)
            during = await _read(stack, incident, range_s=_RATE_S + second)
            states = await stack.prometheus.alerts()
            if incident.is_told(during) and incident.alert in states:
                break
    seen = Seen(incident, before, during, states.get(incident.alert, ""))
    tell(f"  {_show(seen.before)} -> {_show(seen.during)}, {incident.alert} {seen.alert or 'is silent'}")
    await asyncio.sleep(_CALM_S)
    return seen


async def _read(stack: Stack, incident: Incident, *, range_s: float) -> float | None:
    """Return the value on the panel: the largest of the series with the incident's legend."""
    [panel] = [
        each for each in panels_of(load_dashboard(incident.dashboard)) if each["title"] == incident.panel
    ]
    values = []
    for target in panel["targets"]:
        text = Expression(incident.panel, target["expr"]).fill_in(
            __rate_interval=f"{_RATE_S}s", __range=f"{range_s:.0f}s"
        )
        for series in await stack.prometheus.ask(text):
            labels = series["metric"]
            legend = re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), target["legendFormat"])  # noqa: B023
            if re.fullmatch(incident.legend, legend):
                values.append(float(series["value"][1]))
    return max(values, default=None)


def _show(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.3g}"


def _table(sights: Sequence[Seen]) -> str:
    lines = [
        "| incident | dashboard | panel | before | during | alert |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for seen in sights:
        what = seen.incident
        during = _show(seen.during) if seen.is_good else f"**{_show(seen.during)}**"
        alert = f"{what.alert} {seen.alert or '**silent**'}"
        lines.append(
            f"| {what.words} | {what.dashboard} | {what.panel} | {_show(seen.before)} | {during} | {alert} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Run the incidents that the command line names, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.observe.incidents",
        description="Break six things, and show which panel and which alert tell each.",
    )
    names = [incident.name for incident in INCIDENTS]
    parser.add_argument(
        "incidents", nargs="*", metavar="INCIDENT", help=f"{', '.join(names)}; all if none is named"
    )
    asked = parser.parse_args().incidents or names
    if unknown := set(asked) - set(names):
        parser.error(f"there is no incident {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="ig-incidents-", ignore_cleanup_errors=True) as directory:
        chosen = [incident for incident in INCIDENTS if incident.name in asked]
        sights = asyncio.run(run(chosen, Path(directory)))
    print(_table(sights))
    failed = [seen.incident.name for seen in sights if not seen.is_good]
    print(f"\n{len(sights) - len(failed)} of {len(sights)} incidents are told.", *failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
