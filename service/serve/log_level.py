"""Change the log level of a running gateway: SIGUSR1 logs one level more, SIGUSR2 goes back.

A signal, because it reaches the process that an operator means, also without Redis or credentials; a request would
reach any of the replicas behind a balancer. Without SIGUSR2 the level goes back by itself.
"""

import asyncio
import logging
import signal

from service.adapters.telemetry.logs import LEVELS, set_log_level

BACK_S = 900.0
_log = logging.getLogger(__name__)


class LogLevel:
    """The log level of this process, first and in the end the *configured* one."""

    def __init__(self, configured: str) -> None:
        self._configured = self._current = configured
        self._back: asyncio.TimerHandle | None = None

    def take_signals(self) -> None:
        """Obey the two signals from now on, as long as the event loop runs."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self.log_more)
        loop.add_signal_handler(signal.SIGUSR2, self.go_back)

    def log_more(self) -> None:
        """Log one level more than now, up to DEBUG, for the next fifteen minutes."""
        self._forget_timer()
        self._back = asyncio.get_running_loop().call_later(BACK_S, self.go_back)
        self._set(LEVELS[max(0, LEVELS.index(self._current) - 1)])

    def go_back(self) -> None:
        """Log at the configured level again."""
        self._forget_timer()
        self._set(self._configured)

    def _set(self, level: str) -> None:
        self._current = level
        # No level hides this line: it says why there are more lines from here on, or fewer.
        set_log_level("INFO")
        _log.info("log level changed", extra={"to": level, "configured": self._configured})
        set_log_level(level)

    def _forget_timer(self) -> None:
        if self._back is not None:
            self._back.cancel()
            self._back = None
