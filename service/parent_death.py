"""Kill a child process when its parent dies.

Failure behaviour: open. Only Linux supports this; elsewhere a child must notice by itself.
"""

import ctypes
import signal
import sys


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent dies; call it in the child."""
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG, linux/prctl.h
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
