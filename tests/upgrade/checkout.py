"""Take an earlier commit of this repository out of its history, without touching the working tree."""

import io
import subprocess
import tarfile
from pathlib import Path

from tests.processes import REPOSITORY

EARLIEST = "0a44e116784ff6e7915869488f56186d75b5b980"
"""The first that rolls to this version and back without a pause: later ones share the form of holds and of the journal."""
BEFORE_HOLDS = "8b99113b394f6d64ff742229f7331794c86dde4d"
"""One that counts running orders in another way."""


class NoSuchCommit(Exception):
    """The history here does not have the commit: a shallow clone, or no clone at all."""


def default_commit() -> str:
    """Return the newest tag, or the first commit that rolls without a pause if there is none."""
    try:
        return _git("describe", "--tags", "--abbrev=0").decode().strip()
    except NoSuchCommit:
        return EARLIEST


def check_out(commit: str, directory: Path) -> Path:
    """Write the files of *commit* to *directory*; its dependencies are those of this environment.

    Raises:
        NoSuchCommit: it is not in this clone.
    """
    archive = _git("archive", "--format=tar", commit, "service", "pyproject.toml")
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(directory, filter="data")
    return directory


def _git(*words: str) -> bytes:
    try:
        found = subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, check=False)
    except FileNotFoundError:
        raise NoSuchCommit("git is not installed") from None
    if found.returncode:
        raise NoSuchCommit(found.stderr.decode().strip())
    return found.stdout
