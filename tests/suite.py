"""A pytest plugin for the suite as a whole: the order of its files, and a list of the tests it left out.

With pytest-xdist each file runs in one worker, so that a module's servers start once. Files whose tests may take
the longest start first, then those of `_DEAREST_FIRST`: a long file that starts last would keep one worker busy and
the others idle.
"""

import gc
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

_DEAREST_FIRST = (
    "end_to_end",
    "http",
    "tests",
    "adapters",
    "redis",
    "openai",
    "sandbox",
    "serve",
    "gateway",
    "domain",
)
"""Directories by what a file in them costs; others come last."""

_SLOW_TIMEOUT_S = 180
"""For a slow test without a limit of its own: several times what one needs on an idle machine."""

_left_out: set[str] = set()


def pytest_configure() -> None:
    """Let no clock decide a property: a busy machine takes its time over an example."""
    settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("suite")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests more time, and put dear files first, by what is left of them; else the order stays."""
    longest_s: dict[Path, float] = {}
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_SLOW_TIMEOUT_S))
        longest_s[item.path] = max(longest_s.get(item.path, 0), _timeout_s(item))
    items.sort(key=lambda item: (-longest_s[item.path], _rank(item.path)))


def pytest_collection_finish() -> None:
    """Spare the garbage collector the thousands of tests and modules that stay to the end anyway."""
    gc.collect()
    gc.freeze()


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Remember slow tests that a marker expression leaves out."""
    _left_out.update(item.nodeid for item in items if item.get_closest_marker("slow"))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what a worker of pytest-xdist left out to its controller, which collects nothing itself."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = sorted(_left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a worker left out; one that crashed has nothing to say."""
    _left_out.update(getattr(node, "workeroutput", {}).get("left_out", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what was left out."""
    if _left_out:
        terminalreporter.section(f"{len(_left_out)} slow tests left out; `make test-all` runs them")
        names = Counter(node_id.partition("[")[0] for node_id in _left_out)
        for name, cases in sorted(names.items()):
            terminalreporter.line(name if cases == 1 else f"{name} ({cases} cases)")


def _timeout_s(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0


def _rank(path: Path) -> int:
    return next(
        (_DEAREST_FIRST.index(name) for name in reversed(path.parts) if name in _DEAREST_FIRST),
        len(_DEAREST_FIRST),
    )
