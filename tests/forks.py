"""Start the program as a fork of a process that has loaded it, which saves a second of CPU for each start.

All else is its own: environment, directory, input, output, signals, children and end. A test run, or a worker
of it, has one such process; it has no threads. Tests of loading, of the dynamic linker or of a terminal start
Python themselves.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

GATEWAY, SANDBOX = "service.__main__", "service.sandbox.__main__"
_REPOSITORY = Path(__file__).parents[1]

_loaded = multiprocessing.get_context("forkserver")
_loaded.set_forkserver_preload(["tests.loaded"])


@dataclass(slots=True)
class Fork:
    """A forked process, with the methods of `subprocess.Popen` that tests use; its input ends with this object."""

    _process: BaseProcess
    _stdin: Connection

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, or the negative number of the signal that ended it; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code; raises `subprocess.TimeoutExpired`."""
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def fork_program(
    words: Sequence[str],
    *,
    environment: Mapping[str, str],
    output: Path,
    errors: Path | None = None,
    program: str = GATEWAY,
    answer: str | None = None,
) -> Fork:
    """Start *program* with *words* in the repository.

    Its output goes to the end of *output*, and what it says on standard error to that of *errors*. *answer* is all
    of its input; otherwise that ends with this process.
    """
    theirs, ours = _loaded.Pipe(duplex=False)
    given = (program, list(words), dict(environment), theirs, str(output), str(errors or output))
    # A daemon in the words of multiprocessing: a test run that ends does not wait for it.
    process = _loaded.Process(target=_run, args=given, daemon=True)
    process.start()
    theirs.close()
    if answer is not None:
        os.write(ours.fileno(), answer.encode())
        ours.close()
    return Fork(process, ours)


def _run(
    program: str, words: list[str], environment: dict[str, str], stdin: Connection, output: str, errors: str
) -> None:
    os.chdir(_REPOSITORY)
    os.environ.clear()  # noqa: TID251 - as a new process has it
    os.environ.update(environment)  # noqa: TID251
    os.dup2(stdin.fileno(), 0)
    sys.stdin = os.fdopen(0, closefd=False)
    for stream, path in ((sys.stdout, output), (sys.stderr, errors)):
        stream.flush()
        with Path(path).open("ab") as file:
            os.dup2(file.fileno(), stream.fileno())
    sys.argv = [program, *words]
    import_module(program).main()
