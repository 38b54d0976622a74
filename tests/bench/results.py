"""Hold what was measured: a value for each round, by case, lane and figure; ratios are of values of the same round."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some rounds, and the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        if self.least == self.most:
            return write_number(self.median)
        return f"{write_number(self.median)} ({write_number(self.least)}-{write_number(self.most)})"


def write_number(value: float) -> str:
    """Return three significant digits, and whole numbers from a hundred on."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


@dataclass(slots=True)
class Results:
    """Series of values; the order of cases, lanes and figures is that in which they were measured."""

    series: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, case: str, lane: str, figure: str, value: float) -> None:
        """Note the value of one round."""
        self.series.setdefault((case, lane, figure), []).append(value)

    def note(self, text: str) -> None:
        """Note a sentence for the reader, once."""
        if text not in self.notes:
            self.notes.append(text)

    def values(self, case: str, lane: str, figure: str) -> list[float]:
        """Return the values of all rounds; none if it was not measured."""
        return self.series.get((case, lane, figure), [])

    def ratios(self, case: str, figure: str, lane: str, to_lane: str) -> list[float]:
        """Return *lane* over *to_lane*, round by round; none if one of them was not measured, or took nothing."""
        pairs = zip(self.values(case, lane, figure), self.values(case, to_lane, figure), strict=False)
        return [one / other for one, other in pairs if other > 0]

    def cases(self) -> list[str]:
        return list(dict.fromkeys(case for case, _, _ in self.series))

    def lanes(self, case: str) -> list[str]:
        return list(dict.fromkeys(lane for of, lane, _ in self.series if of == case))

    def figures(self, case: str) -> list[str]:
        return list(dict.fromkeys(figure for of, _, figure in self.series if of == case))

    def rows(self) -> Iterator[dict[str, object]]:
        """Yield each series as JSON has it."""
        for (case, lane, figure), values in self.series.items():
            spread = Spread.of(values)
            yield {
                "case": case,
                "lane": lane,
                "figure": figure,
                "median": spread.median,
                "min": spread.least,
                "max": spread.most,
                "rounds": values,
            }
