"""The command line as an operator has it: with settings of its own, in this process or in one of its own."""

import contextlib
import csv
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from service.commands.root import cli
from tests.forks import fork_program
from tests.processes import REPOSITORY


@dataclass(frozen=True, slots=True)
class Done:
    """What a command that has ended leaves."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Shell:
    """Runs commands on one data directory."""

    data_dir: Path
    settings: tuple[tuple[str, str], ...] = ()

    def run(self, *words: str, answer: str = "") -> Done:
        """Run a command here, which costs no start of Python."""
        away: dict[str, str | None] = dict.fromkeys(_foreign_variables())
        result = CliRunner().invoke(
            cli, words, input=answer, env=away | self._given(), catch_exceptions=False
        )
        return Done(result.exit_code, result.stdout, result.stderr)

    def start(
        self, *words: str, program: Sequence[str] = (sys.executable, "-m", "service")
    ) -> "subprocess.Popen[str]":
        """Start a command in a process of its own."""
        return subprocess.Popen(
            [*program, *words],
            env=self.environment(),
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run_apart(self, *words: str, answer: str = "") -> Done:
        """Run a command in a process of its own."""
        with tempfile.TemporaryDirectory() as directory:
            output, errors = Path(directory, "output"), Path(directory, "errors")
            process = fork_program(
                words, environment=self.environment(), output=output, errors=errors, answer=answer
            )
            code = process.wait(30)
            return Done(code, output.read_text("utf-8"), errors.read_text("utf-8"))

    def ask(self, *words: str) -> str:
        """Return what a command that succeeds prints."""
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, *words: str) -> str:
        """Return what a command that fails says, in plain words and one line each."""
        return check_refused(self.run(*words))

    def environment(self) -> dict[str, str]:
        """Return the environment of a command."""
        inherited = dict(os.environ)  # noqa: TID251 - the child needs PATH and the like
        for name in _foreign_variables():
            del inherited[name]
        return inherited | self._given()

    def _given(self) -> dict[str, str]:
        # Patient enough for a busy machine.
        patience = {"GATEWAY_REDIS_TIMEOUT_S": "2"}
        english = {"LC_ALL": "C.UTF-8"}
        return {"GATEWAY_DATA_DIR": str(self.data_dir), **english, **patience, **dict(self.settings)}


def run_on_terminal(shell: Shell, columns: int, *words: str) -> str:
    """Return what a person sees, without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    # A dumb terminal would have 80 columns, whatever its size.
    environment = shell.environment() | {"TERM": "xterm"}
    environment.pop("COLUMNS", None)
    command = [sys.executable, "-m", "service", *words]
    with subprocess.Popen(
        command, env=environment, cwd=REPOSITORY, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = bytearray()
        # On Linux, a terminal whose last user has left ends with an error.
        with contextlib.suppress(OSError):
            while part := os.read(ours, 4096):
                shown += part
    os.close(ours)
    assert process.returncode == 0
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())


def check_refused(done: Done) -> str:
    """Check that a command failed in plain words, one line each; return them."""
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert all(line.startswith("error: ") for line in done.stderr.splitlines())
    return done.stderr


def rows(text: str) -> list[dict[str, str]]:
    """Return a table as a program reads it."""
    return list(csv.DictReader(io.StringIO(text), delimiter="\t"))


def _foreign_variables() -> list[str]:
    return [name for name in os.environ if name.upper().startswith(("GATEWAY_", "OPENAI_"))]  # noqa: TID251 - to take them away
