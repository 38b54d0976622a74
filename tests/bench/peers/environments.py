"""Make the environment of a peer when it is first wanted, as the Makefile says how."""

import os
import subprocess

from tests.processes import REPOSITORY

ENVIRONMENTS = REPOSITORY / ".venv-bench"
_INSTALL_S = 900


def make_environment(name: str) -> None:
    """Install *name* unless it is there.

    Raises:
        OSError: it cannot be installed here; says what the installer said last.
    """
    made = subprocess.run(
        ["make", "--silent", f".venv-bench/{name}/.made"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=_INSTALL_S,
        check=False,
    )
    if made.returncode:
        raise OSError(f"it cannot be installed: {' '.join((made.stderr or made.stdout).split())[-200:]}")


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment with *variables*, and without proxies: all servers are on this machine."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}  # noqa: TID251 - a child needs PATH and the like
    return kept | variables
