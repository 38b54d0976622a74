"""`make bench`: what an order costs, beside the alternatives, in one run on this machine.

Prints Markdown tables: CPU by process tree, latencies, memory, and the targets beside what was measured. Ends with 1 if the guard finds
a ratio much worse than the recorded one.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.bench.bench import Bench
from tests.bench.capacity import measure_capacity
from tests.bench.cores import choose_cores, on_cores
from tests.bench.form import Form
from tests.bench.guard import RECORDED, Ratios, best_of, compare, ratios_of, read_recorded, write_recorded
from tests.bench.parts import print_parts
from tests.bench.plots import write_plots
from tests.bench.report import Noise, read_stolen_s, write_json, write_markdown
from tests.bench.scenarios.table import SCENARIOS
from tests.bench.stages import print_stages
from tests.processes import REPOSITORY

_FULL = Form()
_SHORT = Form(seconds=0.5, warm_seconds=0.6, is_guard=True)
_RECORD = replace(_SHORT, rounds=15)
_OTHERS: dict[str, tuple[str, Callable[[], None]]] = {
    "stages": ("where the CPU of an order goes, stage by stage", print_stages),
    "parts": ("Redis' own time for the scripts of an order, and knowing a caller", print_parts),
    "capacity": ("the figures from which docs/capacity.md extrapolates, five minutes", measure_capacity),
}
_DOCUMENTS = REPOSITORY / "docs" / "bench"
_EXAMPLES = """
scenarios:
{scenarios}

others, by themselves:
{others}
  record     writes the ratios that --guard compares with to {recorded}, from more rounds of the short form

examples:
  make bench                          all scenarios, about 30 minutes on a quiet machine
  make bench ARGS="a c"               two of them
  make bench ARGS=--short             a to d beside pass-through and floor only, about a minute
  make bench ARGS=--guard             the same, twice if need be; ends with 1 if a case is more than 25 % worse than recorded
  make bench ARGS="--write"           all, and writes JSON, Markdown and plots to docs/bench

LiteLLM and Portkey are installed into .venv-bench/ when a scenario first wants them; nginx must be on the machine. What cannot be
had is named below the tables. Ratios within one run are what to quote: times do not carry over to another machine or day.
"""


def main() -> int:
    """Measure what the command line names, and print."""
    arguments = _parser().parse_args()
    names = list(dict.fromkeys(arguments.names))
    if len(names) == 1 and names[0] in _OTHERS:
        _OTHERS[names[0]][1]()
        return 0
    is_record = names == ["record"]
    if unknown := [name for name in names if name not in SCENARIOS and not is_record]:
        sys.exit(f"There is no scenario {unknown[0]}; `make bench ARGS=--help` lists them.")
    form = _form(arguments, is_record=is_record)
    chosen = [] if is_record else names
    run = partial(
        _run,
        chosen or [name for name, one in SCENARIOS.items() if one.is_guarded or not form.is_guard],
        form,
        arguments.write,
    )
    ratios = run()
    if is_record:
        write_recorded(ratios)
        sys.stdout.write(f"\nRecorded in {RECORDED.relative_to(REPOSITORY)}.\n")
    if not arguments.guard or _holds(ratios):
        return 0
    sys.stdout.write("\nOnce more, as other work may have been at fault; the better of both runs counts.\n\n")
    return 0 if _holds(best_of(ratios, run())) else 1


def _holds(ratios: Ratios) -> bool:
    """Print *ratios* beside the recorded ones, and tell if none is much worse."""
    lines, is_good = compare(ratios, read_recorded())
    sys.stdout.write("\n" + "\n".join(lines) + "\n")
    return is_good


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure what an order costs, beside the alternatives, in one run.",
        epilog=_EXAMPLES.format(
            scenarios="\n".join(f"  {name:10} {one.tried}" for name, one in SCENARIOS.items()),
            others="\n".join(f"  {name:10} {what}" for name, (what, _) in _OTHERS.items()),
            recorded=RECORDED.relative_to(REPOSITORY),
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="scenarios, or one of the others; all scenarios if none is named",
    )
    parser.add_argument("--short", action="store_true", help="what the guard measures, about a minute")
    parser.add_argument(
        "--guard", action="store_true", help="the short form, compared with the recorded ratios"
    )
    parser.add_argument("--write", action="store_true", help="write JSON, Markdown and plots to docs/bench")
    parser.add_argument("--rounds", type=int, help="rounds of each lane")
    parser.add_argument(
        "--seconds",
        type=float,
        help="seconds of a closed loop in a round; open loops take three times as long",
    )
    return parser


def _form(arguments: argparse.Namespace, *, is_record: bool) -> Form:
    form = _RECORD if is_record else _SHORT if arguments.short or arguments.guard else _FULL
    if arguments.rounds:
        form = replace(form, rounds=arguments.rounds)
    if arguments.seconds:
        seconds = arguments.seconds
        form = replace(
            form, seconds=seconds, open_seconds=3 * seconds, warm_seconds=seconds, rest_seconds=10 * seconds
        )
    return form


def _run(names: Sequence[str], form: Form, is_written: bool) -> Ratios:
    """Measure, print, and return the ratios that the guard compares."""
    cores = choose_cores()
    began_s, stolen_s = time.monotonic(), read_stolen_s()
    with on_cores(cores.load), ExitStack() as stack:
        bench = Bench(stack, cores, form, _tell)
        for name in names:
            SCENARIOS[name].measure(bench)
    results = bench.results
    _tell("")
    noise = Noise.since(stolen_s, time.monotonic() - began_s)
    text = write_markdown(results, form, cores, noise)
    if is_written:
        _DOCUMENTS.mkdir(parents=True, exist_ok=True)
        (_DOCUMENTS / "results.json").write_bytes(write_json(results, form, cores, noise))
        plots = write_plots(results, _DOCUMENTS)
        (_DOCUMENTS / "results.md").write_text(_document(text, plots), "utf-8")
    sys.stdout.write(text)
    return ratios_of(results)


def _document(text: str, plots: Sequence[Path]) -> str:
    shown = "\n".join(f"![{path.stem}]({path.name})" for path in plots)
    return f"# Results of `make bench`\n\nWritten by `make bench ARGS=--write`.\n\n{text}\n{shown}\n"


def _tell(text: str) -> None:
    sys.stderr.write(f"\r\x1b[K{text}" if sys.stderr.isatty() else f"{text}\n" if text else "")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
