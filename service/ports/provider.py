"""Order images from a provider, have prompts judged, and fetch images the provider links to.

Failure behaviour: a failed call is a value that says who pays for it; an adapter repeats
nothing without the use case's knowledge.
"""

from collections.abc import Mapping
from typing import Protocol

from service.domain.failures import CallFailure
from service.domain.images import CallMade, ImageCall, Realm


class CallProgress(Protocol):
    """The reports of a running call."""

    def sending(self) -> None:
        """Note that the call is being sent: from here on it may be billed."""
        ...

    def show(self, number: int, data: bytes, resolved: Mapping[str, str]) -> None:
        """Take stage *number* of an image that is being streamed."""
        ...


class Backend(Protocol):
    """A source of images."""

    @property
    def name(self) -> str:
        """Its name in metrics and logs."""
        ...

    @property
    def realm(self) -> Realm:
        """Its realm: painted fakes, or images that cost money."""
        ...

    async def make(self, call: ImageCall, progress: CallProgress) -> CallMade | CallFailure:
        """Make one attempt of a call; failures are values, with who pays for them.

        Waits its turn in the backend's pace first, then calls *progress* and sends.
        A cancellation before that means that nothing was sent.
        """
        ...


class Downloads(Protocol):
    """Fetches images that a backend returns as URLs."""

    async def fetch(self, url: str, *, deadline_s: float) -> bytes:
        """Return the bytes at *url*; *deadline_s* is an instant of the monotonic clock.

        Raises:
            DownloadFailed: not allowed, no answer in time, too large or empty.
        """
        ...


class DownloadFailed(Exception):
    """The image could not be fetched; the text is safe to show and names no host."""


class Moderator(Protocol):
    """Judges prompts before money is spent on them."""

    async def judge(self, prompt: str, *, deadline_s: float) -> CallFailure | None:
        """Return a refusal, or None; if the moderator itself fails, the outcome the operator chose."""
        ...
