"""Draw SVG plots: a point for the median of each lane, a line from the least round to the most, on a logarithmic axis.

Plain text in UTF-8, without a library: a plot is a few rectangles and words, and readers see it in both themes.
"""

import math
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from tests.bench.results import GATEWAY, Results, Spread, write_number
from tests.bench.rounds import CPU, P50, P99
from tests.bench.scenarios.memory import PEAK

_PLOTTED = (CPU, P50, P99, PEAK)
_WIDTH, _LEFT, _RIGHT, _TOP, _LINE = 800, 230, 110, 44, 28
_INK, _FAINT, _OURS, _OTHERS = "#24292f", "#d0d7de", "#0969da", "#57606a"

Row = tuple[str, Spread]


def write_plots(results: Results, directory: Path) -> list[Path]:
    """Write a plot of each case and figure that has several lanes, and return the files."""
    written = []
    for case in results.cases():
        for figure in _PLOTTED:
            rows = [
                (lane, Spread.of(values))
                for lane in results.lanes(case)
                if (values := results.values(case, lane, figure))
            ]
            if len(rows) > 1:
                path = directory / f"{_file_name(case)}-{_file_name(figure)}.svg"
                path.write_text(draw(f"{case}: {figure}", rows), "utf-8")
                written.append(path)
    return written


def draw(title: str, rows: Sequence[Row]) -> str:
    """Return a plot of *rows*, the least first."""
    ordered = sorted(rows, key=lambda row: row[1].median)
    low, high = _decades(ordered)
    height = _TOP + _LINE * len(ordered) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(16, 24, title, weight="bold"),
        *_axis(low, high, height),
        *(part for place, row in enumerate(ordered) for part in _row(place, row, low, high)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _decades(rows: Sequence[Row]) -> tuple[int, int]:
    """Return the powers of ten between which all rounds are."""
    least = min(_positive(spread.least) for _, spread in rows)
    most = max(_positive(spread.most) for _, spread in rows)
    low = math.floor(math.log10(least))
    return low, max(low + 1, math.ceil(math.log10(most)))


def _positive(value: float) -> float:
    # A clock of 10 ms may see nothing of a short round.
    return max(value, 1e-3)


def _x(value: float, low: int, high: int) -> float:
    share = (math.log10(_positive(value)) - low) / (high - low)
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _axis(low: int, high: int, height: int) -> Iterator[str]:
    for power in range(low, high + 1):
        x = _x(10.0**power, low, high)
        yield f'<line x1="{x:.1f}" y1="{_TOP - 6}" x2="{x:.1f}" y2="{height - 34}" stroke="{_FAINT}"/>'
        yield _text(x, height - 16, f"{10.0**power:g}", anchor="middle")


def _row(place: int, row: Row, low: int, high: int) -> Iterator[str]:
    name, spread = row
    y = _TOP + _LINE * place + _LINE / 2
    color = _OURS if name.startswith(GATEWAY) else _OTHERS
    least, median, most = (_x(value, low, high) for value in (spread.least, spread.median, spread.most))
    yield _text(_LEFT - 12, y + 4, name, anchor="end", weight="bold" if color == _OURS else "normal")
    yield f'<line x1="{least:.1f}" y1="{y:.1f}" x2="{most:.1f}" y2="{y:.1f}" stroke="{color}" stroke-width="3"/>'
    yield f'<circle cx="{median:.1f}" cy="{y:.1f}" r="6" fill="{color}"/>'
    yield _text(_WIDTH - _RIGHT + 14, y + 4, write_number(spread.median))


def _text(x: float, y: float, words: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{_INK}" text-anchor="{anchor}" font-weight="{weight}">{escape(words)}</text>'


def _file_name(words: str) -> str:
    kept = "".join(letter if letter.isalnum() else " " for letter in words.lower())
    return "-".join(kept.split())
