"""Remember and report the failures of an image store.

A failed write is remembered until a later one succeeds. The log has the reason and the
explanation, but no URL, bucket or key.
"""

import errno
import logging
import math
import os
import time
from collections.abc import Callable, Mapping

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from service.domain.errors import StoreUnavailable
from service.ports.telemetry import StoreFailed, StoreTrouble, Telemetry

FAILURES = (BaseError, OSError, ValueError, NotImplementedError)
"""Everything that obstore raises if an operation fails."""
_NO_BUCKET = ("NoSuchBucket", "bucket does not exist", "ContainerNotFound")
_NO_FILES = os.strerror(errno.EMFILE)
_DENIED = (PermissionDeniedError, UnauthenticatedError, PermissionError)
_PAUSE_S = 60.0
_log = logging.getLogger(__name__)


class StoreFailures:
    """The failures of one store: *has_failed_write* after a failed write, *is_troubled* after any failed operation.

    *reason* is that of the latest. The log has one line a minute while operations fail, and one when none does any more.
    """

    def __init__(
        self, telemetry: Telemetry | None, explain: Callable[[str], Mapping[str, str]] | None
    ) -> None:
        self._telemetry = telemetry
        self._explain = explain or (lambda _: {})
        self.is_troubled = False
        self.has_failed_write = False
        self.reason: StoreTrouble = "other"
        self._is_logged = False
        self._logged_s = -math.inf
        self._suppressed = 0

    def note(self, error: BaseException) -> None:
        """Report a failed operation."""
        self.is_troubled = True
        self.reason = _reason_of(error)
        if self._telemetry is not None:
            self._telemetry.record(StoreFailed(reason=self.reason))
        self._log_failure(error)

    def note_write(self, error: BaseException) -> None:
        """Report a failed write, and remember it."""
        self.has_failed_write = True
        if not isinstance(error, StoreUnavailable):
            self.note(error)
        elif not self._is_logged:
            # Reported already, unless its order had little time.
            self._log_failure(error)

    def note_success(self, *, wrote: bool = False) -> None:
        """Note that an operation succeeded; only a write tells that the store takes writes."""
        self.is_troubled = False
        if wrote:
            self.has_failed_write = False
        if self._is_logged and not self.has_failed_write:
            self._is_logged = False
            _log.warning("store works again")

    def _log_failure(self, error: BaseException) -> None:
        now_s = time.monotonic()
        if now_s - self._logged_s < _PAUSE_S:
            self._suppressed += 1
            return
        reason = _reason_of(error)
        # The name of the exception distinguishes a full disk from a missing one.
        details = {"reason": reason, "error": type(error.__cause__ or error).__name__}
        left_out = {"suppressed": self._suppressed} if self._suppressed else {}
        _log.warning("store failed", extra={**details, **left_out, **self._explain(reason)})
        self._is_logged, self._logged_s, self._suppressed = True, now_s, 0


def lacks_bucket(error: FileNotFoundError) -> bool:
    """Tell if the bucket is missing, not an object in it."""
    return any(mark in str(error) for mark in _NO_BUCKET)


def _reason_of(error: BaseException) -> StoreTrouble:
    cause = error.__cause__ or error
    if isinstance(cause, TimeoutError):
        return "timeout"
    if _NO_FILES in str(cause):
        return "files"
    if isinstance(cause, _DENIED):
        return "denied"
    return "missing" if isinstance(cause, FileNotFoundError) else "other"
