"""List all rows, group by group, and run one."""

import contextlib
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.finding import Finding
from tests.chaos.ground import open_ground
from tests.chaos.row import NotTried, Row
from tests.chaos.rows import (
    attacks,
    backend_faults,
    backends,
    backends_down,
    claims,
    disks,
    ending,
    images,
    lying_backends,
    money,
    outages,
    queue,
    surface,
)

GROUPS: Mapping[str, tuple[Row, ...]] = {
    "claims": tuple(claims.ROWS.rows),
    "outages": tuple(outages.ROWS.rows),
    "money": tuple(money.ROWS.rows),
    "queue": tuple(queue.ROWS.rows),
    "ending": tuple(ending.ROWS.rows),
    "disks": tuple(disks.ROWS.rows),
    "attacks": tuple(attacks.ROWS.rows),
    "images": tuple(images.ROWS.rows),
    "backends": (
        *backends.ROWS.rows,
        *backends_down.ROWS.rows,
        *backend_faults.ROWS.rows,
        *lying_backends.ROWS.rows,
    ),
    "surface": tuple(surface.ROWS.rows),
}
"""The rows by what they try, those that last longest first; a group is one file of tests, for workers to share."""

ALL = {row.name: row for rows in GROUPS.values() for row in rows}

KNOWN_TO_FAIL: Mapping[str, str] = {}
"""Rows that the gateway does not pass yet, each with the reason; `make chaos` runs them, the suite does not."""


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a row, as it is printed."""

    name: str
    tried: str
    happened: str
    failed: tuple[str, ...]
    took_s: float
    not_tried: str = ""
    """What this machine lacks."""

    @property
    def is_good(self) -> bool:
        return not self.failed


async def run_row(row: Row, *, is_short: bool, tell: Callable[[str], None]) -> Result:
    """Run a row on a ground of its own; an error of any kind fails it."""
    finding, began_s, lacking = Finding(), time.monotonic(), ""
    with tempfile.TemporaryDirectory(prefix="ig-chaos-", ignore_cleanup_errors=True) as directory:
        try:
            async with open_ground(Path(directory), is_short=is_short, tell=tell) as ground:
                await row.trial(ground, finding)
        except NotTried as error:
            lacking = str(error)
        except Exception as error:  # noqa: BLE001 - the other rows are still to come
            finding.failed.append(_tell_error(error))
            finding.figures.append(f"**{_tell_error(error)}**")
    took_s = time.monotonic() - began_s
    return Result(row.name, row.tried, "; ".join(finding.figures), tuple(finding.failed), took_s, lacking)


def _tell_error(error: BaseException) -> str:
    """Return the innermost error and its place in this package."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    places = [frame for frame in traceback.extract_tb(error.__traceback__) if "chaos" in frame.filename]
    with contextlib.suppress(IndexError):
        return f"{type(error).__name__} at {Path(places[-1].filename).name}:{places[-1].lineno}: {error}"[
            :600
        ]
    return repr(error)[:600]
