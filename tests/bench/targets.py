"""The targets, each beside what was measured: ratios within one run, of the gateway's CPU without Valkey's."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from tests.bench.results import GATEWAY, Results, Spread, write_number
from tests.bench.rounds import ADDED_P50, ADDED_P99, CPU, P50, P99
from tests.bench.scenarios import fanout, files, hits, memory, misses, starts


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A bound of *figure*, or, with *over* and *under*, of the ratio of two lanes; *earlier* is what it was when it was set."""

    what: str
    case: str
    bound: float
    is_least: bool = False
    figure: str = CPU
    over: str = GATEWAY
    under: str = ""
    earlier: str = "-"

    @property
    def words(self) -> str:
        return f"{'≥' if self.is_least else '≤'} {write_number(self.bound)}"

    def values(self, results: Results) -> list[float]:
        """Return what was measured in each round; nothing if it was not."""
        if self.under:
            return results.ratios(self.case, self.figure, self.over, self.under)
        return results.values(self.case, self.over, self.figure)

    def is_met(self, values: list[float]) -> bool:
        """Tell if the median keeps the bound."""
        median = statistics.median(values)
        return median >= self.bound if self.is_least else median <= self.bound


def _times(case: str, what: str, peer: str, bound: float, earlier: str) -> Target:
    """Return the target that *peer* takes so many times the gateway's CPU."""
    return Target(
        what=f"{what}: {peer} / gateway",
        case=case,
        over=peer,
        under=GATEWAY,
        bound=bound,
        is_least=True,
        earlier=earlier,
    )


def _share(case: str, what: str, peer: str, bound: float, earlier: str) -> Target:
    """Return the target that the gateway takes so many times the CPU of *peer*."""
    return Target(what=f"{what}: gateway / {peer}", case=case, under=peer, bound=bound, earlier=earlier)


def _fanout(case: str, what: str, bound: float, earlier: str) -> Target:
    """Return the target that ten images take so many times as long as one."""
    return Target(
        what=f"e fan-out of 10, {what}: ten / one",
        case=case,
        figure=P50,
        over=fanout.TEN,
        under=fanout.ONE,
        bound=bound,
        earlier=earlier,
    )


TARGETS = (
    _times(misses.SMALL, "a small miss", "LiteLLM", 8, "5.0"),
    _times(misses.SMALL, "a small miss", "Portkey", 1.5, "0.93"),
    _share(misses.SMALL, "a small miss", "pass-through", 0.65, "0.89"),
    Target(what="a added p50 at 100/s, ms", case=misses.AT_100, figure=ADDED_P50, bound=3.5, earlier="5.2"),
    Target(what="a added p99 at 100/s, ms", case=misses.AT_100, figure=ADDED_P99, bound=15, earlier="76"),
    Target(
        what="a p99 at 100/s: gateway / Portkey",
        case=misses.AT_100,
        figure=P99,
        under="Portkey",
        bound=1,
        earlier="2",
    ),
    _times(misses.LARGE, "b 1.5 MB", "LiteLLM", 3, "1.9"),
    _times(misses.LARGER, "b 3 MB", "LiteLLM", 2.3, "1.5"),
    _times(misses.LARGE, "b 1.5 MB", "Portkey", 5, "3.2"),
    _times(misses.LARGER, "b 3 MB", "Portkey", 5, "3.5"),
    _times(hits.HIT_LINK, "c URL hit", "LiteLLM", 14, "8.9"),
    _share(hits.HIT_LINK, "c URL hit", "floor", 6.5, "10"),
    Target(what="c p99 at 300/s, ms", case=hits.AT_300, figure=P99, bound=5),
    _times(hits.HIT_BASE64, "d base64 hit", "LiteLLM", 11, "5.2"),
    _share(hits.HIT_BASE64, "d base64 hit", "floor", 2.2, "4.8"),
    _fanout(fanout.SMALL, "small", 1.10, "1.11"),
    # By base64 most of the time is that of an answer of 40 MB.
    _fanout(fanout.LARGER_LINK, "4 MB of JSON each, URL", 2.0, "2.83"),
    Target(what="f peak, MB", case=memory.CASE, figure=memory.PEAK, bound=350, earlier="348"),
    Target(
        what="f a minute later, MB", case=memory.CASE, figure=memory.AFTERWARDS, bound=150, earlier="201-237"
    ),
    _share(files.WHOLE, "k file whole", "nginx", 3, "5.3"),
    _share(files.RANGE, "k file by range", "nginx", 15, "32"),
    Target(what="start, s", case=starts.CASE, figure=starts.READY, bound=1.0, earlier="0.94"),
    Target(what="idle, MB", case=starts.CASE, figure=starts.IDLE, bound=80, earlier="92"),
    Target(what="--help, s", case=starts.CASE, figure=starts.HELP, bound=0.3, earlier="1.04"),
)


def write_targets(results: Results, targets: Iterable[Target] = TARGETS) -> list[str]:
    """Return a Markdown table of the targets that this run has figures for; what was not measured says so."""
    lines = ["| target | bound | earlier | measured: median (min-max) | |", "| --- | --- | --- | --- | --- |"]
    measured = set(results.cases())
    for target in targets:
        if target.case not in measured:
            continue
        values = target.values(results)
        if not values:
            found, verdict = "-", "not measured"
        else:
            found, verdict = str(Spread.of(values)), "met" if target.is_met(values) else "**missed**"
        lines.append(f"| {target.what} | {target.words} | {target.earlier} | {found} | {verdict} |")
    return lines if len(lines) > 2 else []
