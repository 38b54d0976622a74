"""The values of images: inputs, calls to a backend, their results, and finished images.

Frozen dataclasses without behaviour beyond small derivations. Money is integer
micro-dollars, sizes are bytes or pixels, times are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Parameters = Mapping[str, Any]
"""Parameters as JSON has them: strings, integers, booleans, or an object that is passed on unchanged."""
MAX_N = 10
"""No image endpoint has ever taken more (API reference, `n`)."""


class Operation(StrEnum):
    """The way to make an image."""

    GENERATE = "generate"
    EDIT = "edit"
    VARY = "vary"


class Delivery(StrEnum):
    """The form in which the caller receives its images."""

    URL = "url"
    B64_JSON = "b64_json"


class Realm(StrEnum):
    """The realm of images, painted fakes or paid ones; part of every fingerprint."""

    SANDBOX = "sandbox"
    LIVE = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputImage:
    """One image from a caller: its header, and the place of its bytes while the order runs.

    *role* is `image`, `mask` or `markup`; *digest* the SHA-256 of its bytes in hex.
    """

    role: str
    digest: str
    format: str
    width: int
    height: int
    size_bytes: int
    has_alpha: bool
    path: str


@dataclass(frozen=True, slots=True)
class Cutout:
    """The part an edit may not touch: *image* wherever *mask* is opaque; partial alpha blends."""

    image: InputImage
    mask: InputImage


@dataclass(frozen=True, slots=True)
class Finish:
    """The remaining work on an image: exactly *width* x *height* pixels, outside of *cutout* the input's."""

    width: int
    height: int
    cutout: Cutout | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCall:
    """One request to a backend for *n* images; *safety_identifier* is a keyed hash.

    With *partial_images* above 0 the backend is asked to stream, and shows that
    many stages of each image.
    """

    model: str
    prompt: str
    n: int
    parameters: Parameters
    safety_identifier: str
    operation: Operation = Operation.GENERATE
    inputs: tuple[InputImage, ...] = ()
    partial_images: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RawImage:
    """One image as a backend returned it; with a *url*, its *data* are still to be fetched."""

    data: bytes
    revised_prompt: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallMade:
    """The answer to a call: 1 to n images, and the provider's statements about them.

    *usage* is the provider's token count as it came; *resolved* holds the values it
    chose for `quality`, `size`, `background` and `output_format`.
    """

    images: tuple[RawImage, ...]
    usage: Mapping[str, Any] | None
    resolved: Mapping[str, str]
    answered_model: str | None = None


class ContentCredentials(StrEnum):
    """Content credentials that a provider embeds in an image: absent, untouched, or lost in resampling.

    Unknown for a file with so many segments that it was not searched to its end.
    """

    NONE = "none"
    KEPT = "kept"
    LOST = "lost"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One finished, stored image: everything a later hit must know.

    *digest* is the SHA-256 of its bytes in hex. *usage* is this image's share of
    its call. *cost_microusd* None means the price is unknown, which is not free.
    *credentials* is the state of the provider's content credentials (C2PA).
    """

    digest: str
    format: str
    width: int
    height: int
    size_bytes: int
    created_s: int
    revised_prompt: str | None = None
    usage: Mapping[str, Any] | None = None
    resolved: Mapping[str, str] = field(default_factory=dict)
    cost_microusd: int | None = None
    answered_model: str | None = None
    credentials: ContentCredentials = ContentCredentials.NONE

    @property
    def name(self) -> str:
        """File name in the store and in links."""
        return f"{self.digest}.{self.format}"


class Source(StrEnum):
    """The source of an image in an answer; each has its own price for the caller."""

    HIT = "hit"
    COALESCED = "coalesced"
    MADE = "made"
