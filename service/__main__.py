"""The entry point of the command line: `image-gateway …` and `python -m service …`.

Failure behaviour: Ctrl-C ends a command at once, with exit code 130 and no traceback, also
while its modules are loaded; commands that must clean up use `serve/interrupts.py`.
"""

import os
import signal
from importlib import import_module
from types import FrameType


def main() -> None:
    """Run the command line. It is loaded here, after Ctrl-C is taken care of."""
    signal.signal(signal.SIGINT, _leave)
    try:
        import_module("service.commands.root").cli()
    finally:
        # All is done but Python's own end, which would restore the default of Ctrl-C.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _leave(_number: int, _frame: FrameType | None) -> None:
    # An exception would surface inside the import system, which prints a traceback or loses it.
    os._exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
