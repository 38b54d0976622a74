"""`make bench`: CPU of the gateway's process for one order, beside the bare pass-through, in one run.

`make bench ARGS=capacity` measures what `docs/capacity.md` extrapolates from instead (`capacity.py`). CPU per request is the unit because it hardly depends on what else the machine does;
ratios within one run are what to quote. Prints a Markdown table.
"""

import asyncio
import contextlib
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from tests.bench.capacity import measure_capacity
from tests.bench.crowd import measure as crowd_together
from tests.bench.load import Order, Orders, order_json, order_many
from tests.bench.parts import measure
from tests.bench.servers import cpu_s, run_process
from tests.processes import run_gateway, run_valkey

ROUNDS = 5
CONNECTIONS = 16
SMALL_BYTES = 5_000
LARGE_BYTES = 1_500_000


@dataclass(slots=True)
class Case:
    """One row: *count* orders a round at *url*; CPU is that of process *pid*."""

    name: str
    url: str
    pid: int
    orders: Orders
    count: int
    ms_per_request: list[float] = field(default_factory=list)

    def run_round(self) -> None:
        """Send one round and note the CPU it took."""
        before_s = cpu_s(self.pid)
        asyncio.run(order_many(self.url, self.orders, count=self.count, connections=CONNECTIONS))
        self.ms_per_request.append((cpu_s(self.pid) - before_s) / self.count * 1000)


def main() -> None:
    """Measure what the command line names, and print."""
    if sys.argv[1:] == ["capacity"]:
        measure_capacity()
    else:
        measure_orders()


def measure_orders() -> None:
    """Print the CPU of orders and of their parts."""
    with contextlib.ExitStack() as stack:
        cases = [*_cases(stack, SMALL_BYTES, "5 kB", 600), *_cases(stack, LARGE_BYTES, "1.5 MB", 60)]
        for case in cases:
            case.run_round()
            case.ms_per_request.clear()
        for number in range(ROUNDS):
            _tell(f"round {number + 1} of {ROUNDS} ...")
            for case in cases:
                case.run_round()
    _tell("")
    sys.stdout.write(_table(cases))
    parts = asyncio.run(measure())
    crowd = asyncio.run(crowd_together())
    sys.stdout.write("\n| part | microseconds |\n| --- | --- |\n")
    sys.stdout.write("".join(f"| {name} | {us:.0f} |\n" for name, us in parts))
    sys.stdout.write("\n| crowd | |\n| --- | --- |\n")
    sys.stdout.write("".join(f"| {name} | {what} |\n" for name, what in crowd))


def _cases(stack: contextlib.ExitStack, picture_bytes: int, size: str, count: int) -> list[Case]:
    upstream = stack.enter_context(run_process("tests.bench.stub", str(picture_bytes)))
    bare = stack.enter_context(run_process("tests.bench.passthrough", upstream.url))
    valkey = stack.enter_context(run_valkey())
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    gateway = stack.enter_context(
        run_gateway(
            directory,
            redis_url=valkey.url,
            log_level="INFO",
            default_policy__requests_per_min=10**9,
            default_policy__images_per_min=10**9,
            openai_base_url=f"{upstream.url}/v1",
            openai_api_key="bench",
        )
    )
    pid = gateway.process.pid
    return [
        Case(f"bare pass-through, {size}", bare.url, bare.pid, _fresh("b64_json"), count),
        Case(f"miss, base64, {size}", gateway.url, pid, _fresh("b64_json"), count),
        Case(f"miss, URL, {size}", gateway.url, pid, _fresh("url"), count),
        Case(f"hit, base64, {size}", gateway.url, pid, _same("b64_json"), count),
        Case(f"hit, URL, {size}", gateway.url, pid, _same("url"), count),
    ]


def _fresh(delivery: str) -> Orders:
    """Orders that nobody has made before."""

    def order(number: int) -> Order:
        prompt = f"a cat, number {number} {uuid4().hex}"
        return order_json({"model": "dall-e-3", "prompt": prompt, "response_format": delivery})

    return order


def _same(delivery: str) -> Orders:
    same = order_json({"model": "dall-e-3", "prompt": "a cat, again", "response_format": delivery})
    return lambda _: same


def _table(cases: list[Case]) -> str:
    lines = ["| order | CPU ms per request, median (min) | x pass-through |", "| --- | --- | --- |"]
    bare = 1.0
    for case in cases:
        median = statistics.median(case.ms_per_request)
        if case.name.startswith("bare"):
            bare = median
        lines.append(f"| {case.name} | {median:.3f} ({min(case.ms_per_request):.3f}) | {median / bare:.2f} |")
    return "\n".join(lines) + "\n"


def _tell(text: str) -> None:
    sys.stderr.write(f"\r{text:40}")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
