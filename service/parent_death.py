"""End a child process with the one that started it, however that ends.

Failure behaviour: open. Only Linux has this; elsewhere a child has to notice by itself.
"""

import ctypes
import signal
import sys


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent is gone; called in the child, before its work."""
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG, linux/prctl.h
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
