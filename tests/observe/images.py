"""`make dashboard-images`: load two gateways for some minutes, with faults, and draw each dashboard into docs/images/."""

import argparse
import asyncio
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.ground import open_ground
from tests.chaos.workers import tell
from tests.observe.drawing import Studio
from tests.observe.expressions import DASHBOARDS, Expression, load_dashboard, panels_of
from tests.observe.orders import Orders, ordering
from tests.observe.stack import Stack, open_stack

_IMAGES = Path(__file__).parents[2] / "docs" / "images"
_POINTS = 150
_RATE_S = 15
_LARGEST_BYTES = 400_000


@dataclass(frozen=True, slots=True)
class Drawn:
    """The image of a dashboard; *empty* are the titles of panels without data."""

    name: str
    panels: int
    size_bytes: int
    empty: list[str]


async def _live(stack: Stack, orders: Orders, seconds: float) -> None:
    """Let a bad day pass in *seconds*: the provider slows down, then limits, Redis hangs, the store fills, all rush."""
    moods, pace = stack.moods, dict(orders.pace)
    await asyncio.sleep(seconds * 0.25)
    moods.typical_s = 1.2
    await asyncio.sleep(seconds * 0.1)
    moods.typical_s, moods.limited = 0.4, 0.3
    await asyncio.sleep(seconds * 0.1)
    moods.limited = 0.02
    stack.valkey.signal(signal.SIGSTOP)
    await asyncio.sleep(seconds * 0.03)
    stack.valkey.signal(signal.SIGCONT)
    await asyncio.sleep(seconds * 0.1)
    if stack.disk is not None:
        stack.disk.fill()
        await asyncio.sleep(seconds * 0.03)
        stack.disk.free()
    await asyncio.sleep(seconds * 0.1)
    orders.pace = {team: 5 * each for team, each in pace.items()}
    moods.typical_s = 2
    await asyncio.sleep(seconds * 0.1)
    orders.pace, moods.typical_s = pace, 0.4
    await asyncio.sleep(seconds * 0.19)


async def draw(seconds: float, packages: Path, directory: Path) -> list[Drawn]:
    """Load the stack for *seconds*, and draw all dashboards."""
    place = directory / "stack"
    place.mkdir()
    async with open_ground(place, is_short=False, tell=tell) as ground:
        stack = await open_stack(ground)
        from_s = await stack.prometheus.now_s()
        tell(f"ordering for {seconds:.0f} s ...")
        async with ordering(stack) as orders:
            await _live(stack, orders, seconds)
            span = {"from_s": from_s, "to_s": await stack.prometheus.now_s()}
            tell(f"{orders.answers.total()} answers {dict(orders.answers.most_common())}")
        dashboards = {path.stem: load_dashboard(path.stem) for path in DASHBOARDS}
        answers = {name: await _ask(stack, dashboard, **span) for name, dashboard in dashboards.items()}
    studio = await asyncio.to_thread(Studio, directory / "page", packages)
    _IMAGES.mkdir(exist_ok=True)
    return [
        await asyncio.to_thread(_draw, studio, name, dashboard, answers[name], **span)
        for name, dashboard in dashboards.items()
    ]


async def _ask(stack: Stack, dashboard: dict[str, Any], *, from_s: float, to_s: float) -> dict[int, Any]:
    """Return what the queries of each panel yield, by its id, with what Grafana needs to name the series."""
    answers: dict[int, list[dict[str, Any]]] = {}
    for panel in panels_of(dashboard):
        answers[panel["id"]] = []
        for target in panel["targets"]:
            text = Expression(panel["title"], target["expr"]).fill_in(
                __rate_interval=f"{_RATE_S}s", __range=f"{to_s - from_s:.0f}s"
            )
            if target.get("instant"):
                result = await stack.prometheus.ask(text, at_s=to_s)
            else:
                step_s = max(1, round((to_s - from_s) / _POINTS))
                result = await stack.prometheus.ask_range(text, from_s=from_s, to_s=to_s, step_s=step_s)
            names = {name: target.get(name) for name in ("refId", "legendFormat", "format")}
            answers[panel["id"]].append({**names, "result": result})
    return answers


def _draw(
    studio: Studio, name: str, dashboard: dict[str, Any], answers: dict[int, Any], **span: float
) -> Drawn:
    tell(f"drawing {name} ...")
    to = _IMAGES / f"{name}.png"
    studio.draw(dashboard, answers, to=to, **span)
    empty = [
        panel["title"]
        for panel in panels_of(dashboard)
        if not any(each["result"] for each in answers[panel["id"]])
    ]
    return Drawn(name, len(dashboard["panels"]), to.stat().st_size, empty)


def main() -> int:
    """Draw all dashboards, and print their sizes and the panels that had nothing to show."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.observe.images",
        description="Draw the dashboards into docs/images/ with live data.",
    )
    parser.add_argument("--seconds", type=float, default=240, help="how long orders are sent (240)")
    parser.add_argument("--packages", type=Path, required=True, help="the node_modules of tests/observe/draw")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ig-images-", ignore_cleanup_errors=True) as directory:
        drawn = asyncio.run(draw(arguments.seconds, arguments.packages.resolve(), Path(directory)))
    print("| image | panels | bytes | without data |\n| --- | --- | --- | --- |")
    for each in drawn:
        print(f"| {each.name} | {each.panels} | {each.size_bytes:,} | {', '.join(each.empty) or 'none'} |")
    too_large = [each.name for each in drawn if each.size_bytes > _LARGEST_BYTES]
    if too_large:
        print(f"Larger than {_LARGEST_BYTES:,} bytes: {', '.join(too_large)}")
    return 1 if too_large or not drawn else 0


if __name__ == "__main__":
    sys.exit(main())
