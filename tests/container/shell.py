"""Run commands: Debian's packages, an engine, compose.

Failure behaviour: closed. A command that fails, or takes longer than it may, is `Failed` with the end of its output.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_LINES = 30
_FOREIGN = ("GATEWAY_", "OPENAI_", "AZURE_", "AWS_", "GOOGLE_", "COMPOSE_")


class Failed(Exception):
    """A check that does not hold; its text says what was seen."""


def run(command: Sequence[str], *, cwd: Path | None = None, timeout_s: float = 60) -> str:
    """Return the output of *command*, both streams together."""
    done = attempt(command, cwd=cwd, timeout_s=timeout_s)
    if done.returncode != 0:
        raise Failed(
            f"{' '.join(command)}: exit code {done.returncode}\n{_end_of(done.stdout + done.stderr)}"
        )
    return done.stdout


def attempt(
    command: Sequence[str], *, cwd: Path | None = None, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run *command*, which may fail."""
    try:
        return subprocess.run(
            command,
            cwd=cwd,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        # Bytes, whatever `text` says.
        text = b"".join(part for part in (error.stdout, error.stderr) if part).decode(errors="replace")
        raise Failed(f"{' '.join(command)}: not ended after {timeout_s:g} s\n{_end_of(text)}") from error


def environment() -> Mapping[str, str]:
    """Return this process's environment without a developer's settings and keys, which must not change a check."""
    return {
        name: value
        for name, value in os.environ.items()  # noqa: TID251 - as a child has it
        if not name.upper().startswith(_FOREIGN)
    }


def _end_of(text: str) -> str:
    return "\n".join(text.splitlines()[-_LINES:])
