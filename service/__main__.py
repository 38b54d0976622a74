"""Run the command line: `image-gateway …` and `python -m service …`.

Failure behaviour: Ctrl-C ends a command at once with exit code 130 and no traceback, even
while modules load; commands that must clean up use `serve/interrupts.py`. The signals for the log level
(`serve/log_level.py`) end no command: they do nothing before a gateway obeys them.
"""

import os
import signal
from importlib import import_module
from types import FrameType


def main() -> None:
    """Handle signals, then load and run the command line."""
    signal.signal(signal.SIGINT, _leave)
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        # Not `SIG_IGN`, which children would inherit.
        signal.signal(number, _do_nothing)
    try:
        import_module("service.commands.root").cli()
    finally:
        # Python's own exit would restore the default handler.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _leave(_number: int, _frame: FrameType | None) -> None:
    # An exception would surface inside the import system, which prints a traceback or loses it.
    os._exit(128 + signal.SIGINT)


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    pass


if __name__ == "__main__":
    main()
