"""Keep images, uploads and books private to the user of the gateway.

Failure behaviour: open. What belongs to another user stays as it is, and is logged.
"""

import logging
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_log = logging.getLogger(__name__)


def create_private_files() -> None:
    """Let this process and its children create private files and directories only, whatever the umask was."""
    os.umask(_OTHERS)


def make_private(directories: Iterable[Path]) -> None:
    """Make existing *directories* private, with their content.

    The directory itself comes last: a private one is not walked again, however many images it holds.
    """
    for directory in directories:
        try:
            if directory.is_dir() and directory.stat().st_mode & _OTHERS:
                for path in _content(directory):
                    with suppress(FileNotFoundError):
                        _close(path)
                _close(directory)
        except OSError as error:
            _log.warning("files not private", extra={"directory": str(directory), "reason": error.strerror})


def _content(directory: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(directory):
        for name in (*folders, *files):
            path = Path(folder, name)
            if not path.is_symlink():
                yield path


def _close(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OTHERS:
        path.chmod(mode & ~_OTHERS)
