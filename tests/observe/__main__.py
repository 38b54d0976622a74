"""`make observe`: prove dashboards and alerts on a real Prometheus that scrapes two gateways under orders and faults.

Prints a table of what was tried. Ends with 1 if a row fails.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import promql_parser

from deploy.grafana.build import BOARDS, render
from tests.chaos.ground import METRICS_KEY, open_ground
from tests.chaos.workers import tell
from tests.observe.expressions import DASHBOARDS, RULES, expressions_of_panels, expressions_of_rules
from tests.observe.faults import SETTINGS, Scene, break_each_part, configuration, today
from tests.observe.orders import ordering
from tests.observe.proof import Alarms, Run
from tests.observe.stack import Stack, open_stack
from tests.observe.types_of_boards import type_faults
from tests.processes import REPOSITORY

_CONFIGURATION = REPOSITORY / "deploy/prometheus/prometheus.yml"
_CASES = sorted(Path(__file__).parent.glob("*.test.yml"))
_MUST_HOLD = {
    "ImageGatewayAccountBlocked",
    "ImageGatewayBudgetNear",
    "ImageGatewayDown",
    "ImageGatewayJournalGrows",
    "ImageGatewayModelEnds",
    "ImageGatewayOutcomesUnknown",
    "ImageGatewayPaidImagesLost",
    "ImageGatewayProviderFails",
    "ImageGatewayProviderRefusesKey",
    "ImageGatewayProviderUntrusted",
    "ImageGatewayQueueRefuses",
    "ImageGatewayQueueSaturated",
    "ImageGatewayRedisAway",
    "ImageGatewayStoreFails",
    "ImageGatewayTeamThrottled",
    "ImageGatewayUnpricedImages",
}
"""The alerts that the faults of this run must cause; the others need hours, or a bug.

`ImageGatewayErrorBudgetBurns` sums whole minutes: a run of 77 s has one or two of them, before or after its faults as the
clock has it. `objectives.test.yml` tries it minute by minute.
"""
_AWAY_S = {True: 3.0, False: 8.0}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; *is_good* None only tells something."""

    tried: str
    happened: str
    is_good: bool | None


async def observe(directory: Path, *, away_s: float, packages: Path) -> list[Row]:
    """Try everything, the files beside the run; faults last for *away_s*."""
    async with asyncio.TaskGroup() as group:
        files = group.create_task(asyncio.to_thread(_try_files, directory, packages))
        live = group.create_task(_try_live(directory, away_s=away_s))
    return [*files.result(), *live.result()]


async def _try_live(directory: Path, *, away_s: float) -> list[Row]:
    place = directory / "stack"
    place.mkdir()
    async with open_ground(place, is_short=True, tell=tell) as ground:
        stack = await open_stack(ground, config=configuration(today()), **SETTINGS)
        alarms = Alarms({}, set())
        from_s = await stack.prometheus.now_s()
        async with ordering(stack) as orders, asyncio.TaskGroup() as group:
            watching = group.create_task(_watch(stack, alarms))
            checked = await asyncio.to_thread(_check_metrics, await _metrics_of(stack))
            await break_each_part(Scene(stack, orders, away_s))
            watching.cancel()
        run = Run(stack.prometheus, from_s, await stack.prometheus.now_s())
        load = Row(
            "two gateways under orders and faults",
            f"{orders.answers.total()} answers in {run.to_s - run.from_s:.0f} s {dict(orders.answers.most_common(6))}",
            None,
        )
        return [load, *checked, *await _try_run(run, alarms)]


async def _watch(stack: Stack, alarms: Alarms) -> None:
    while True:
        alarms.note(await stack.prometheus.alert_list())
        await asyncio.sleep(0.5)


async def _metrics_of(stack: Stack) -> list[bytes]:
    headers = {"authorization": f"Bearer {METRICS_KEY}"}
    return [
        (await stack.ground.ask("GET", f"{gateway.url}/metrics", headers=headers)).content
        for gateway in stack.gateways
    ]


def _check_metrics(scrapes: Iterable[bytes]) -> list[Row]:
    faults = [_promtool("check", "metrics", given=scrape) for scrape in scrapes]
    return [_row("promtool check metrics, of both gateways", [fault for fault in faults if fault])]


def _try_files(directory: Path, packages: Path) -> list[Row]:
    """Try what needs no gateway: rules, their tests, and the JSON of dashboards."""
    expressions = [*expressions_of_panels(), *expressions_of_rules()]
    unreadable = []
    for expression in expressions:
        try:
            promql_parser.parse(expression.fill_in())
        except ValueError as error:
            unreadable.append(f"{expression.place}: {error}")
    typed = directory / "typed"
    typed.mkdir()
    return [
        _row("promtool check config", [_promtool("check", "config", _CONFIGURATION)]),
        _row("promtool check rules", [_promtool("check", "rules", "--lint=all", "--lint-fatal", *RULES)]),
        _row("promtool test rules: each alert fires, and does not", [_promtool("test", "rules", *_CASES)]),
        _row(
            "dashboards are what the code writes",
            [
                path.stem
                for path, board in zip(DASHBOARDS, sorted(BOARDS, key=lambda board: board.uid), strict=True)
                if render(board) != path.read_text("utf-8")
            ],
        ),
        _row("tsc accepts the dashboards as @grafana/schema", type_faults(typed, packages)),
        _row(f"{len(expressions)} expressions are PromQL", unreadable),
    ]


async def _try_run(run: Run, alarms: Alarms) -> list[Row]:
    """Try what only shows on live data."""
    rows = [
        _row(f"{count} queries of {dashboard} have data", empty)
        for dashboard, (count, empty) in (await run.panels_without_data()).items()
    ]
    for title, (count, empty) in {
        "recorded metrics have data": await run.records_without_data(),
        "selectors of rules match series": await run.selectors_without_data(),
    }.items():
        rows.append(_row(f"{count} {title}", empty))
    rows += [
        _row(
            f"{len(_MUST_HOLD)} alerts held during their faults",
            sorted(_MUST_HOLD - set(alarms.held)),
            ", ".join(f"{name.removeprefix('ImageGateway')}" for name in sorted(alarms.held)),
        ),
        _row("annotations of alerts can be written", sorted(alarms.broken)),
        Row(
            "exported, and read by no panel or rule",
            ", ".join(await run.metrics_in_no_panel()) or "none",
            None,
        ),
        await _scrapes(run),
    ]
    return rows


async def _scrapes(run: Run) -> Row:
    slowest, most = [
        float((await run.prometheus.ask(f"max(max_over_time({name}[1h]))", at_s=run.to_s))[0]["value"][1])
        for name in ("scrape_duration_seconds", "scrape_samples_post_metric_relabeling")
    ]
    return Row("scrapes under load", f"at most {slowest * 1000:.0f} ms and {most:.0f} samples", None)


def _row(tried: str, faults: Iterable[str], happened: str = "all") -> Row:
    found = [fault for fault in faults if fault]
    return Row(tried, "; ".join(found) if found else happened, not found)


def _promtool(*arguments: object, given: bytes | None = None) -> str:
    """Return its complaints, or nothing."""
    done = subprocess.run(["promtool", *map(str, arguments)], input=given, capture_output=True, check=False)
    return " ".join((done.stdout + done.stderr).decode().split()) if done.returncode else ""


def _table(rows: Iterable[Row]) -> str:
    verdict = {None: "", True: "holds", False: "**fails**"}
    return "\n".join(
        ["| tried | what happened | verdict |", "| --- | --- | --- |"]
        + [f"| {row.tried} | {row.happened} | {verdict[row.is_good]} |" for row in rows]
    )


def main() -> int:
    """Run what the command line asks for, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.observe",
        description="Prove dashboards and alerts on a real Prometheus that scrapes two gateways under orders and faults.",
    )
    parser.add_argument("--short", action="store_true", help="shorter faults, the same judgement")
    parser.add_argument(
        "--packages",
        type=Path,
        default=Path(".venv-lint/node_modules"),
        help="where npm put TypeScript and @grafana/schema",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ig-observe-", ignore_cleanup_errors=True) as directory:
        rows = asyncio.run(
            observe(Path(directory), away_s=_AWAY_S[arguments.short], packages=arguments.packages)
        )
    print(_table(rows))
    failed = [row.tried for row in rows if row.is_good is False]
    print(
        f"\n{len(rows) - len(failed)} of {len(rows)} rows hold.", *failed and ("Failed:", "; ".join(failed))
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
