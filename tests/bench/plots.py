"""Draw SVG plots: a point for the median of each lane, a line from the least round to the most, on a logarithmic axis; and one of all cases.

Plain text in UTF-8, without a library: a plot is a few rectangles and words, and readers see it in both themes.
"""

import math
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from tests.bench.results import GATEWAY, Results, Spread, write_number
from tests.bench.rounds import CPU, P99
from tests.bench.scenarios.memory import PEAK

_PLOTTED = (CPU, P99, PEAK)
_WIDTH, _LEFT, _RIGHT, _TOP, _LINE = 800, 230, 110, 44, 28
_INK, _FAINT, _OURS, _OTHERS = "#24292f", "#d0d7de", "#0969da", "#57606a"
OVERVIEW = "overview.svg"
_OVERVIEW_LEFT = 300
_COLORS = {
    "floor": "#8c959f",
    "nginx": "#1a7f37",
    "frame": "#bf8700",
    "pass-through": "#8250df",
    "Portkey": "#cf222e",
    "LiteLLM": "#953800",
}
"""Of the peers of the overview."""

Row = tuple[str, Spread]


def write_plots(results: Results, directory: Path) -> list[Path]:
    """Write the overview, and a plot of each case and figure that has the gateway beside others; return the files."""
    written = []
    if cases := _compared(results):
        path = directory / OVERVIEW
        path.write_text(draw_overview(cases), "utf-8")
        written.append(path)
    for case in results.cases():
        for figure in _PLOTTED:
            rows = [
                (lane, Spread.of(values))
                for lane in results.lanes(case)
                if (values := results.values(case, lane, figure))
            ]
            if GATEWAY in dict(rows) and any(not lane.startswith(GATEWAY) for lane, _ in rows):
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


def draw_overview(cases: Sequence[tuple[str, Sequence[Row]]]) -> str:
    """Return a plot with a row for each case, and in it how many times the gateway's CPU each peer takes."""
    low, high = _decades([row for _, rows in cases for row in rows])
    height = 2 * _TOP + _LINE * len(cases) + 40
    one = _x(1.0, low, high, _OVERVIEW_LEFT)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(
            16,
            24,
            "CPU of an order, times that of the gateway: who is right of the line takes more",
            weight="bold",
        ),
        *_legend(),
        *_axis(low, high, height, top=2 * _TOP, left=_OVERVIEW_LEFT),
        f'<line x1="{one:.1f}" y1="{2 * _TOP - 6}" x2="{one:.1f}" y2="{height - 34}" stroke="{_OURS}" stroke-width="2"/>',
    ]
    for place, (case, rows) in enumerate(cases):
        y = 2 * _TOP + _LINE * place + _LINE / 2
        parts.append(_text(_OVERVIEW_LEFT - 12, y + 4, case, anchor="end"))
        for lane, spread in rows:
            x = _x(spread.median, low, high, _OVERVIEW_LEFT)
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{_COLORS[lane]}"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _compared(results: Results) -> list[tuple[str, list[Row]]]:
    """Return the cases whose CPU was measured beside peers, and the ratio of each."""
    compared = []
    for case in results.cases():
        ratios = {lane: results.ratios(case, CPU, lane, GATEWAY) for lane in _COLORS}
        if rows := [(lane, Spread.of(values)) for lane, values in ratios.items() if values]:
            compared.append((case, rows))
    return compared


def _legend() -> Iterator[str]:
    x = 16.0
    for name, color in {GATEWAY: _OURS, **_COLORS}.items():
        yield f'<circle cx="{x:.1f}" cy="{_TOP + 8}" r="6" fill="{color}"/>'
        yield _text(x + 12, _TOP + 12, name)
        x += 40 + 8 * len(name)


def _decades(rows: Sequence[Row]) -> tuple[int, int]:
    """Return the powers of ten between which all rounds are."""
    least = min(_positive(spread.least) for _, spread in rows)
    most = max(_positive(spread.most) for _, spread in rows)
    low = math.floor(math.log10(least))
    return low, max(low + 1, math.ceil(math.log10(most)))


def _positive(value: float) -> float:
    # A clock of 10 ms may see nothing of a short round.
    return max(value, 1e-3)


def _x(value: float, low: int, high: int, left: int = _LEFT) -> float:
    share = (math.log10(_positive(value)) - low) / (high - low)
    return left + share * (_WIDTH - left - _RIGHT)


def _axis(low: int, high: int, height: int, *, top: int = _TOP, left: int = _LEFT) -> Iterator[str]:
    for power in range(low, high + 1):
        x = _x(10.0**power, low, high, left)
        yield f'<line x1="{x:.1f}" y1="{top - 6}" x2="{x:.1f}" y2="{height - 34}" stroke="{_FAINT}"/>'
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
