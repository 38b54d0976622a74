"""Make the environments of the clients, once, and keep them in `.venv-clients/`.

uv installs them in a tenth of pip's CPU time, and files that several environments share are on the disk once. An
environment whose pins or interpreter changed is made anew.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.compatibility.pins import OWN_TESTS, Pin

REPOSITORY = Path(__file__).parents[2]
CACHE = REPOSITORY / ".venv-clients"
_UV = REPOSITORY / ".venv-lock" / "bin" / "uv"
"""The targets that need it make it."""
_AT_ONCE = 4
"""Most of the time they wait for the index."""
_INSTALL_S = 300


Maker = Callable[[Pin, Path], None]
"""Installs the packages of a pin in a directory."""


def prepare_clients(pins: Iterable[Pin]) -> None:
    """Make those of *pins* that are missing."""
    prepare(*((pin, _maker_of(pin)) for pin in pins))


def prepare(*environments: tuple[Pin, Maker]) -> None:
    """Make what is missing."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
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
    if not _UV.exists():
        raise RuntimeError("There is no uv: run `make .venv-lock/.made` first.")
    uv = (str(_UV), "--quiet", "--cache-dir", str(CACHE / "uv-cache"))
    _run(*uv, "venv", "--python", sys.executable, str(directory))
    _run(*uv, "pip", "install", "--python", str(python_of(pin)), *pin.packages)


def make_node_modules(pin: Pin, directory: Path) -> None:
    """Install packages of npm."""
    (directory / "package.json").write_text(json.dumps({"private": True}), "utf-8")
    _run("npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *pin.packages, directory=directory)


def _maker_of(pin: Pin) -> Maker:
    if pin is OWN_TESTS:
        return _make_own_tests
    return make_node_modules if pin.is_node else make_venv


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
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q")
    options = ("--no-deps", "--no-binary", "openai", "--dest", str(directory))
    _run(*pip, "download", *options, f"openai=={pin.version}")
    source = directory / "source"
    source.mkdir()
    _run("tar", "-xzf", str(directory / f"openai-{pin.version}.tar.gz"), "-C", str(source))


def _run(*command: str, directory: Path | None = None) -> None:
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=_INSTALL_S, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
