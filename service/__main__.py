"""Run the command line: `image-gateway …` and `python -m service …`.

Failure behaviour: Ctrl-C ends a command at once with exit code 130 and no traceback, even
while modules load; commands that must clean up use `serve/interrupts.py`.
"""

import os
import signal
from importlib import import_module
from types import FrameType


def main() -> None:
    """Handle Ctrl-C, then load and run the command line."""
    signal.signal(signal.SIGINT, _leave)
    try:
        import_module("service.commands.root").cli()
    finally:
        # Python's own exit would restore the default handler.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _leave(_number: int, _frame: FrameType | None) -> None:
    # An exception would surface inside the import system, which prints a traceback or loses it.
    os._exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
