"""`make chaos`: everything that was ever tried against the gateway, row by row, on real processes.

Prints a Markdown table: what is tried, what happened, and the verdict. Ends with 1 if a row fails.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator, Sequence

from tests.chaos.faults import FAULTS
from tests.chaos.table import ALL, GROUPS, KNOWN_TO_FAIL, Result
from tests.chaos.workers import run_rows

_JOBS = 6
"""Rows that two cores bear at a time: they wait for two thirds of theirs."""
_EXAMPLES = """
rows and groups:
{rows}

examples:
  make chaos                                     every row in full, one after the other (about 35 minutes)
  make chaos ARGS=--short                        every row in short, several at a time (about 2 minutes)
  make chaos ARGS="overload full-disk"           two rows in full
  make chaos ARGS="--short queue --jobs 1"       a group in short, one after the other

A row starts its own gateways, Valkey and provider, on free ports and in a temporary directory; nothing leaves this
machine. As root it also mounts small file systems for full disks. A row whose figures are set in bold fails; counts
and ratios are judged, milliseconds are only printed. `make soak` runs a mixed load with faults for ten minutes.
"""


def main() -> int:
    """Run the rows that the command line names, and print the table."""
    arguments = _parser().parse_args()
    names = list(dict.fromkeys(_names(arguments.rows)))
    jobs = arguments.jobs or (_JOBS if arguments.short else 1)
    results = asyncio.run(_run(names, is_short=arguments.short, jobs=min(jobs, len(names))))
    results.sort(key=lambda result: names.index(result.name))
    print(_table(results))
    print(f"\n{_faults(results)}")
    failed = [result.name for result in results if not result.is_good]
    print(
        f"\n{len(results) - len(failed)} of {len(results)} rows hold.",
        *failed and ("Failed:", ", ".join(failed)),
    )
    return 1 if failed else 0


async def _run(names: Sequence[str], *, is_short: bool, jobs: int) -> list[Result]:
    return [result async for result in run_rows(names, is_short=is_short, jobs=jobs)]


def _parser() -> argparse.ArgumentParser:
    rows = "\n".join(
        f"  {group}\n" + "\n".join(f"    {row.name:24} {row.tried}" for row in rows)
        for group, rows in GROUPS.items()
    )
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Try on real processes everything that could cost money, lose an order or stop other callers.",
        epilog=_EXAMPLES.format(rows=rows),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows or groups to run; all if none is named")
    parser.add_argument("--short", action="store_true", help="smaller and shorter loads, the same judgement")
    parser.add_argument(
        "--jobs", type=int, help=f"rows at a time (1, or {_JOBS} with --short), besides those that wait"
    )
    return parser


def _names(asked: Sequence[str]) -> Iterator[str]:
    for name in asked or GROUPS:
        if name in GROUPS:
            yield from (row.name for row in GROUPS[name])
        elif name in ALL:
            yield name
        else:
            sys.exit(f"There is no row or group {name}; `python -m tests.chaos --help` lists them.")


def _table(results: Sequence[Result]) -> str:
    lines = ["| row | what is tried | what happened | verdict |", "| --- | --- | --- | --- |"]
    for result in results:
        verdict = f"not tried: {result.not_tried}" if result.not_tried else "holds"
        verdict = verdict if result.is_good else "**fails**"
        if not result.is_good and result.name in KNOWN_TO_FAIL:
            verdict += f" ({KNOWN_TO_FAIL[result.name]})"
        lines.append(f"| {result.name} | {result.tried} | {result.happened} | {verdict} |")
    return "\n".join(lines)


def _faults(results: Sequence[Result]) -> str:
    """Return a table of the faults that were once found, each with its rows; of some rows only those faults."""
    verdicts = {result.name: result for result in results}
    lines = ["| fault | found in review | rows that try it |", "| --- | --- | --- |"]
    for name, fault in FAULTS.items():
        rows = [row.name for row in ALL.values() if name in row.covers]
        told = [_verdict(verdicts[row]) for row in rows if row in verdicts]
        if told or not rows:
            lines.append(f"| {name} | {fault} | {', '.join(told) or '**none**'} |")
    return "\n".join(lines)


def _verdict(result: Result) -> str:
    if result.not_tried:
        return f"{result.name} (not tried)"
    return result.name if result.is_good else f"**{result.name}**"


if __name__ == "__main__":
    sys.exit(main())
