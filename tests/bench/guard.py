"""Hold the recorded ratios: `record` writes them, `--guard` fails when one of a new run is much worse.

Only ratios of CPU to the pass-through or the floor of the same run are compared: they hardly depend on the machine.
"""

import statistics
from collections.abc import Mapping
from pathlib import Path

import orjson

from tests.bench.results import GATEWAY, Results, write_number
from tests.bench.rounds import CPU

RECORDED = Path(__file__).with_name("recorded.json")
WORSE = 1.25
"""Times a recorded ratio that a new one may be."""
_PEERS = ("pass-through", "floor")

Ratios = Mapping[str, float]


def ratios_of(results: Results) -> dict[str, float]:
    """Return the median ratios of a run, by case and peer."""
    found = {}
    for case in results.cases():
        for peer in _PEERS:
            if values := results.ratios(case, CPU, GATEWAY, peer):
                found[f"{case}: gateway / {peer}"] = round(statistics.median(values), 3)
    return found


def best_of(*runs: Ratios) -> dict[str, float]:
    """Return the least of each ratio: other work on the machine makes one larger by chance, and none smaller twice."""
    names = dict.fromkeys(name for ratios in runs for name in ratios)
    return {name: min(ratios[name] for ratios in runs if name in ratios) for name in names}


def read_recorded(path: Path = RECORDED) -> dict[str, float]:
    """Return the recorded ratios; none before the first `record`."""
    return dict(orjson.loads(path.read_bytes())) if path.exists() else {}


def write_recorded(ratios: Ratios, path: Path = RECORDED) -> None:
    """Replace the recorded ratios."""
    path.write_bytes(orjson.dumps(ratios, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def compare(ratios: Ratios, recorded: Ratios) -> tuple[list[str], bool]:
    """Return a Markdown table of the ratios beside the recorded ones, and True if none is much worse or missing."""
    lines = ["| ratio of CPU | recorded | now | now / recorded | |", "| --- | --- | --- | --- | --- |"]
    is_good = True
    for name in dict.fromkeys((*recorded, *ratios)):
        before, now = recorded.get(name), ratios.get(name)
        if before is None or now is None:
            verdict, times = "not recorded" if before is None else "**not measured**", "-"
            is_good = is_good and now is not None
        else:
            is_worse = now > before * WORSE
            verdict, times = "**worse**" if is_worse else "holds", write_number(now / before)
            is_good = is_good and not is_worse
        lines.append(f"| {name} | {_cell(before)} | {_cell(now)} | {times} | {verdict} |")
    return lines, is_good


def _cell(value: float | None) -> str:
    return "-" if value is None else write_number(value)
