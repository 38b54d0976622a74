"""Hold the recorded ratios: `record` writes them, `--guard` fails when a case of a new run is much worse.

Only ratios of CPU to the pass-through and the floor of the same run are compared. Where both are measured their mean is judged: a
machine on which files cost more moves the two in opposite directions (the floor writes files, the pass-through does not), a dearer
gateway moves both up.
"""

import statistics
from collections.abc import Mapping
from pathlib import Path

import orjson

from tests.bench.results import GATEWAY, Results, write_number
from tests.bench.rounds import CPU

RECORDED = Path(__file__).with_name("recorded.json")
WORSE = 1.25
"""Times its recorded ratios that a case may have."""
_PEERS = ("pass-through", "floor")
_BETWEEN = ": gateway / "

Ratios = Mapping[str, float]


def ratios_of(results: Results) -> dict[str, float]:
    """Return the median ratios of a run, by case and peer."""
    found = {}
    for case in results.cases():
        for peer in _PEERS:
            if values := results.ratios(case, CPU, GATEWAY, peer):
                found[f"{case}{_BETWEEN}{peer}"] = round(statistics.median(values), 3)
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
    """Return a Markdown table of the ratios beside the recorded ones, and True if no case is much worse or missing."""
    lines = ["| ratio of CPU | recorded | now | now / recorded | |", "| --- | --- | --- | --- | --- |"]
    is_good = True
    names: dict[str, list[str]] = {}
    for name in dict.fromkeys((*recorded, *ratios)):
        names.setdefault(name.partition(_BETWEEN)[0], []).append(name)
    for case, own in names.items():
        both = [name for name in own if name in recorded and name in ratios]
        times = {name: ratios[name] / recorded[name] for name in both}
        for name in own:
            cells = _cell(recorded.get(name)), _cell(ratios.get(name)), _cell(times.get(name))
            lines.append(f"| {name} | {' | '.join(cells)} | {_unknown(name, ratios, recorded)} |")
        is_good = is_good and ratios.keys() >= set(own)
        if times:
            mean = statistics.geometric_mean(times.values())
            is_good = is_good and mean <= WORSE
            verdict = "holds" if mean <= WORSE else "**worse**"
            lines.append(f"| {case}: mean | | | {write_number(mean)} | {verdict} |")
    return lines, is_good


def _unknown(name: str, ratios: Ratios, recorded: Ratios) -> str:
    if name not in ratios:
        return "**not measured**"
    return "" if name in recorded else "not recorded"


def _cell(value: float | None) -> str:
    return "-" if value is None else write_number(value)
