"""Write what a run measured: Markdown for people, JSON for programs."""

import platform
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
import psutil

from tests.bench.cores import Cores
from tests.bench.form import Form
from tests.bench.results import GATEWAY, Results, Spread
from tests.bench.rounds import CPU
from tests.bench.targets import write_targets
from tests.processes import REPOSITORY

_TIMES = "CPU, x gateway"


@dataclass(frozen=True, slots=True)
class Noise:
    """What else the machine did: the load of the last minute, and the share of a core that others on its host took."""

    load: float
    stolen: float

    @classmethod
    def since(cls, stolen_s: float, took_s: float) -> "Noise":
        return cls(psutil.getloadavg()[0], (read_stolen_s() - stolen_s) / took_s)


def read_stolen_s() -> float:
    """Return the seconds that the host of a virtual machine gave to others; 0 where the system does not tell."""
    return float(getattr(psutil.cpu_times(), "steal", 0.0))


def write_markdown(results: Results, form: Form, cores: Cores, noise: Noise) -> str:
    """Return the tables of all cases, then the targets and the notes."""
    lines = [*describe(form, cores, noise), ""]
    for case in results.cases():
        lines += [f"### {case}", "", *_table(results, case), ""]
    if targets := write_targets(results):
        lines += ["### Targets", "", *targets, ""]
    lines += [f"- {note}" for note in results.notes]
    return "\n".join(lines).rstrip() + "\n"


def describe(form: Form, cores: Cores, noise: Noise) -> list[str]:
    """Return lines on the machine and the run."""
    memory_gib = psutil.virtual_memory().total / 2**30
    machine = f"{_processor()}, {psutil.cpu_count()} cores, {memory_gib:.0f} GiB"
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return [
        f"{datetime.now(UTC):%Y-%m-%d}, commit {_commit()}; {machine}, {system}.",
        f"Medians of {form.rounds} interleaved rounds, with the least and the most; {cores.words}.",
        f"Load of the machine at the end {noise.load:.1f}; {noise.stolen:.0%} of a core was stolen by its host.",
    ]


def write_json(results: Results, form: Form, cores: Cores, noise: Noise) -> bytes:
    """Return all rounds of all series."""
    content = {
        "run": describe(form, cores, noise),
        "series": list(results.rows()),
        "notes": results.notes,
    }
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _table(results: Results, case: str) -> Iterator[str]:
    figures, lanes = results.figures(case), results.lanes(case)
    has_times = CPU in figures and GATEWAY in lanes and len(lanes) > 1
    yield _row("", *figures, *([_TIMES] if has_times else []))
    yield _row(*["---"] * (1 + len(figures) + has_times))
    for lane in lanes:
        cells = [_cell(results.values(case, lane, figure)) for figure in figures]
        times = [_cell(results.ratios(case, CPU, lane, GATEWAY))] if has_times else []
        yield _row(lane, *cells, *times)


def _cell(values: list[float]) -> str:
    return str(Spread.of(values)) if values else "-"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    found = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
