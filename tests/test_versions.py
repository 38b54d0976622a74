"""Check the minimum versions of packages whose older releases are vulnerable."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, version

import pytest

from tests.processes import REPOSITORY

Version = tuple[int, ...]

# Package, lowest good version, what was wrong before.
FLOORS: dict[str, tuple[Version, str]] = {
    "starlette": (
        (1, 3, 1),
        "Host confusion, Range in quadratic time, form limits ignored (CVE-2025-62727 and others)",
    ),
    "python-multipart": (
        (0, 0, 27),
        "part headers, preambles and file names without bounds (CVE-2024-53981 and later)",
    ),
    "pillow": ((12, 3, 0), "decompression bombs behind rare formats"),
    "h11": ((0, 16), "lenient chunk endings: request smuggling (CVE-2025-43859)"),
    "h2": ((4, 4, 1), "two Hosts in one request"),
    "redis": ((8, 0, 1), "answers of a cancelled command given to the next"),
}
NEVER_ALONE = {"h11", "h2", "python-multipart"}
"""Come with others, or not at all."""


def parse(text: str) -> Version:
    return tuple(int(part) for part in re.match(r"\d+(\.\d+)*", text)[0].split("."))  # type: ignore[index]


def installed() -> dict[str, Version]:
    found = {}
    for name in FLOORS:
        try:
            found[name] = parse(version(name))
        except PackageNotFoundError:
            assert name in NEVER_ALONE, f"{name} is not installed"
    return found


def locked(name: str) -> dict[str, Version]:
    """Return what a lock pins: package to version."""
    text = (REPOSITORY / "deploy/requirements" / name).read_text("utf-8")
    return {
        found[1]: parse(found[2])
        for found in re.finditer(r"^([a-z0-9-]+)(?:\[[\w,]+\])?==(\S+)", text, re.MULTILINE)
    }


@pytest.mark.parametrize("name", FLOORS)
def test_nothing_older_is_installed(name: str) -> None:
    floor, reason = FLOORS[name]

    assert installed().get(name, floor) >= floor, reason


@pytest.mark.parametrize("lock", ["runtime.txt", "run.txt", "dev.txt"])
def test_nothing_older_is_locked(lock: str) -> None:
    pinned = locked(lock)

    assert {"starlette", "pillow", "redis", "h11"} <= pinned.keys()
    too_old = {name: pinned[name] for name, (floor, _) in FLOORS.items() if pinned.get(name, floor) < floor}
    assert too_old == {}


@pytest.mark.parametrize("name", sorted(FLOORS.keys() - NEVER_ALONE))
def test_the_floor_is_declared(name: str) -> None:
    """So that installations without a lock get no older one either."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    declared = dict(re.match(r"([a-z0-9-]+)>=([\d.]+)", line).groups() for line in project["dependencies"])  # type: ignore[union-attr,misc]

    ours, floor = parse(declared[name]), FLOORS[name][0]
    width = max(len(ours), len(floor))
    assert ours + (0,) * (width - len(ours)) >= floor + (0,) * (width - len(floor))
