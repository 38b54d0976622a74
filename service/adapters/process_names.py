"""Keep the names of the processes that work in a data directory, each in a file that its process locks.

A file that no process locks is a predecessor's. Failure behaviour: open. On a volume without locks, or one that
takes no file, no process is taken for dead, and what predecessors hold in Redis lapses with their leases.
"""

import contextlib
import fcntl
from pathlib import Path
from types import TracebackType
from typing import IO, Self


class ProcessNames:
    """Implements `ports.processes.Predecessors` for process *name*, and tells which others live."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self.name = name
        self._files = contextlib.ExitStack()
        self._dead: dict[str, IO[str]] = {}

    def __enter__(self) -> Self:
        """Write and lock the name of this process, and lock those of its predecessors."""
        with contextlib.suppress(OSError):
            self._directory.mkdir(exist_ok=True)
            # Under its own name only once it is locked, or another process takes this one for dead.
            hidden = self._directory / f".{self.name}"
            fcntl.flock(self._files.enter_context(hidden.open("w")), fcntl.LOCK_EX | fcntl.LOCK_NB)
            hidden.rename(self._directory / self.name)
            for path in self._directory.glob("[!.]*"):
                with contextlib.suppress(OSError):
                    file = self._files.enter_context(path.open("r+"))
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self._dead[path.name] = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave; after a clean end there is nothing to release, and nobody needs the name."""
        if kind is None:
            with contextlib.suppress(OSError):
                (self._directory / self.name).unlink(missing_ok=True)
        self._files.close()

    def is_alive(self, name: str) -> bool:
        """Tell if process *name* holds its lock; False, too, for one that never had it."""
        if name == self.name or name in self._dead:
            return name == self.name
        try:
            with (self._directory / name).open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def names(self) -> list[str]:
        return list(self._dead)

    def forget(self, name: str) -> None:
        with contextlib.suppress(OSError):
            (self._directory / name).unlink(missing_ok=True)
        self._dead.pop(name).close()
