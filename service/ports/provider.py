"""Who makes images for money, and what is asked of it around that: judging prompts, fetching what it links to.

Failure behaviour: a failed call is a value that says who pays for it; nothing here is
repeated without the use case's knowing.
"""

from collections.abc import Mapping
from typing import Protocol

from service.domain.errors import CallFailure
from service.domain.images import CallMade, ImageCall, Realm


class CallProgress(Protocol):
    """What a call tells while it is being made."""

    def sending(self) -> None:
        """The call is being sent: from here on it may be billed."""
        ...

    def show(self, number: int, data: bytes, resolved: Mapping[str, str]) -> None:
        """Stage *number* of an image that is being streamed."""
        ...


class Backend(Protocol):
    """A place that makes images."""

    @property
    def name(self) -> str:
        """Its name in metrics and logs."""
        ...

    @property
    def realm(self) -> Realm:
        """Whether its pictures are paid for."""
        ...

    async def make(self, call: ImageCall, progress: CallProgress) -> CallMade | CallFailure:
        """Make one attempt of a call; failures are values, with who pays for them.

        Waits its turn in the backend's pace first, tells *progress* and sends.
        Whoever cancels it before that knows that nothing was sent.
        """
        ...


class Downloads(Protocol):
    """Fetches the pictures that a backend answers as URLs."""

    async def fetch(self, url: str, *, deadline_s: float) -> bytes:
        """Return the bytes at *url*; *deadline_s* is an instant of the monotonic clock.

        Raises:
            DownloadFailed: not allowed, no answer in time, too large or empty.
        """
        ...


class DownloadFailed(Exception):
    """The picture could not be fetched; the text is safe to show and names no host."""


class Moderator(Protocol):
    """Judges prompts before anything is spent on them."""

    async def judge(self, prompt: str, *, deadline_s: float) -> CallFailure | None:
        """Return a refusal, or None; when the judge itself fails, what the operator chose."""
        ...
