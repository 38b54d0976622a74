"""Order images from a provider, judge prompts, and fetch images that the provider links to.

Failure behaviour: a failed call is a value with its billing; an adapter never retries by itself.

How to add a kind: one that speaks OpenAI's API with deviations is a dialect in `service/adapters/openai/dialects/`. Any other
is a package beside `service/adapters/openai/` that implements `Backend`, with a table of failures and a free check like
`failures.py` and `check.py` there, its name in `Kind` of `service/settings/backends.py`, and a line in `service/wiring/backends.py`.
"""

from collections.abc import Mapping
from typing import Protocol

from service.domain.failures import CallFailure
from service.domain.images import CallMade, ImageCall, Realm


class CallProgress(Protocol):
    """Takes the reports of a running call."""

    def sending(self) -> None:
        """Note that the call is being sent; from now on it may be billed."""

    def show(self, number: int, data: bytes, resolved: Mapping[str, str]) -> None:
        """Take stage *number* of an image that is being streamed."""


class Backend(Protocol):
    """A source of images."""

    @property
    def name(self) -> str:
        """Its name in metrics and logs."""

    @property
    def realm(self) -> Realm:
        """Its realm: the sandbox's images, or images that cost money."""

    async def make(self, call: ImageCall, progress: CallProgress) -> CallMade | CallFailure:
        """Make one attempt of a call; a failure is a value with its billing.

        Calls *progress* and sends; a call that is cancelled before that is not sent.
        """


class Pace(Protocol):
    """Spaces images to a rate that a backend allows: *max_rate* of them in *time_period* seconds, and as many at once."""

    max_rate: float
    time_period: float

    def has_capacity(self, amount: float = 1) -> bool:
        """Tell if *amount* images may be ordered at once."""

    async def acquire(self, amount: float = 1) -> None:
        """Wait until *amount* images, at most *max_rate*, may be ordered; cancelled, none were."""


class Downloads(Protocol):
    """Fetches images that a backend returns as URLs."""

    async def fetch(self, url: str, *, deadline_s: float) -> bytes:
        """Return the bytes at *url*; *deadline_s* is an instant of the monotonic clock.

        Raises:
            DownloadFailed: the URL is not allowed, or the image is late, too large or empty.
        """


class DownloadFailed(Exception):
    """The image could not be fetched; the message is safe to show and names no host."""


class Moderator(Protocol):
    """Judges prompts before money is spent on them."""

    async def judge(self, prompt: str, *, deadline_s: float) -> CallFailure | None:
        """Return a refusal, or None if the prompt is acceptable or the moderator fails."""
