"""The environments that the clients run in, made once and kept in `.venv-clients/`.

Owns installing them from their pins; an environment whose pins or interpreter changed is made anew.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.compatibility.pins import NODE, OWN_TESTS, PYTHON_0, PYTHON_1, PYTHON_2, PYTHON_3, Pin

REPOSITORY = Path(__file__).parents[2]
CACHE = REPOSITORY / ".venv-clients"
_PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "-q")
_INSTALL_S = 600


Maker = Callable[[Pin, Path], None]
"""Installs the packages of a pin in a directory."""


def prepare_environments() -> None:
    """Make what the clients need and is missing."""
    prepare(
        *((pin, make_venv) for pin in (PYTHON_3, PYTHON_2, PYTHON_1, PYTHON_0)),
        (NODE, make_node_modules),
        (OWN_TESTS, _make_own_tests),
    )


def prepare(*environments: tuple[Pin, Maker]) -> None:
    """Make what is missing, two at a time: unpacking is bound by the processor."""
    with ThreadPoolExecutor(2) as pool:
        for made in [pool.submit(_prepare, pin, make) for pin, make in environments]:
            made.result()


def python_of(pin: Pin) -> Path:
    """Return the interpreter of a Python client."""
    return CACHE / pin.name / "bin" / "python"


def own_tests_directory() -> Path:
    """Return where the SDK's source archive is unpacked."""
    return CACHE / OWN_TESTS.name / "source" / f"openai-{OWN_TESTS.version}"


def make_venv(pin: Pin, directory: Path) -> None:
    """Install Python packages."""
    _run(sys.executable, "-m", "venv", str(directory))
    _run(str(python_of(pin)), *_PIP, "install", *pin.packages)


def make_node_modules(pin: Pin, directory: Path) -> None:
    """Install packages of npm."""
    (directory / "package.json").write_text(json.dumps({"private": True}), "utf-8")
    _run("npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *pin.packages, directory=directory)


def _prepare(pin: Pin, make: Maker) -> None:
    directory = CACHE / pin.name
    stamp = directory / ".made"
    # The place counts as well: a venv that was copied or moved still points to the old one.
    wanted = hashlib.sha256(repr((pin.packages, sys.version, str(directory))).encode()).hexdigest()
    if stamp.exists() and stamp.read_text("utf-8") == wanted:
        return
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    make(pin, directory)
    stamp.write_text(wanted, "utf-8")


def _make_own_tests(pin: Pin, directory: Path) -> None:
    make_venv(pin, directory)
    archive = f"openai=={pin.version}"
    options = ("--no-deps", "--no-binary", "openai", "--dest", str(directory))
    _run(str(python_of(pin)), *_PIP, "download", *options, archive)
    source = directory / "source"
    source.mkdir()
    _run("tar", "-xzf", str(directory / f"openai-{pin.version}.tar.gz"), "-C", str(source))


def _run(*command: str, directory: Path | None = None) -> None:
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=_INSTALL_S, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
