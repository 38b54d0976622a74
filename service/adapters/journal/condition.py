"""Hold the condition of a journal, and tell the log when it changes."""

import errno
import logging
import os

from service.domain.conditions import Condition

LEAST_ROOM_BYTES = 1024 * 1024
"""With less room on its disk, a journal lives on its reserve."""
_FAILING = (
    "Settlements cannot be written to journal/ in GATEWAY_DATA_DIR: while Redis is away as well, no image is made. "
    "Make room on its disk, or make the directory writable."
)
_NO_FILES = (
    "The gateway has as many files and connections open as the system allows it, so journal/ in GATEWAY_DATA_DIR cannot be opened: "
    "raise that limit (ulimit -n, LimitNOFILE, nofile). While Redis is away as well, no image is made."
)
_LOW = (
    "The disk of GATEWAY_DATA_DIR is full: the journal lives on its reserve, which holds about 2,000 settlements. "
    "Make room on it."
)
_log = logging.getLogger(__name__)


class JournalCondition:
    """The condition of one journal: *is_failing* after a failed change, *is_low* on a full disk.

    *settlements* is the number of those that Redis has not taken yet; *pending_since_s*, on the monotonic clock, when it
    was last 0.
    """

    def __init__(self) -> None:
        self.is_failing = False
        self._lacks_files = False
        self.is_low = False
        self.settlements = 0
        self.pending_since_s: float | None = None

    def note_success(self) -> None:
        """Note that the file takes changes."""
        if self.is_failing:
            _log.warning("journal works again")
        self.is_failing = False

    def note_failure(self, error: Exception) -> None:
        """Note that the file took no change."""
        self._lacks_files = _lacks_files()
        if not self.is_failing:
            # SQLite does not tell why it opens no file.
            reason = os.strerror(errno.EMFILE) if self._lacks_files else str(error)
            _log.error("journal failed", extra={"error": type(error).__name__, "reason": reason})
        self.is_failing = True

    def note_pending(self, settlements: int, now_s: float) -> None:
        """Note the number of settlements that Redis has not taken yet."""
        self.settlements = settlements
        if not settlements:
            self.pending_since_s = None
        elif self.pending_since_s is None:
            self.pending_since_s = now_s

    def note_room(self, room_bytes: int) -> None:
        """Note the room on the disk."""
        is_low = room_bytes < LEAST_ROOM_BYTES
        if is_low != self.is_low:
            _log.warning("journal low on room" if is_low else "journal has room again")
        self.is_low = is_low

    @property
    def shown(self) -> Condition:
        """Return the condition as operators read it."""
        if self.is_failing:
            return Condition(word="failing", advice=_NO_FILES if self._lacks_files else _FAILING)
        return Condition(word="low", advice=_LOW) if self.is_low else Condition(word="ok")


def note_lost(order_id: str) -> None:
    """Tell that a settlement is lost; its hold expires into the ledger's `unknown`."""
    _log.error("settlement lost", extra={"order_id": order_id})


def _lacks_files() -> bool:
    """Tell if the system lets this process open no more files."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False
