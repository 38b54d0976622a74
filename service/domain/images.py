"""Define the values of images: inputs, calls to a backend, their results, and finished images.

Money is in integer micro-dollars, sizes are in bytes or pixels, times in seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Parameters = Mapping[str, Any]
"""Parameters from JSON: strings, integers, booleans, or an object that is passed on unchanged."""

STILL_FORMATS = ("png", "jpeg", "webp")
"""Formats into which an image can be converted; others move or are drawings."""

MAX_N = 10
"""The highest *n* of any image endpoint (API reference, `n`)."""


class Operation(StrEnum):
    """The way to make an image."""

    GENERATE = "generate"
    EDIT = "edit"
    VARY = "vary"


class Delivery(StrEnum):
    """The form of the images in an answer."""

    URL = "url"
    B64_JSON = "b64_json"


class Realm(StrEnum):
    """The realm of images, fakes or paid ones; part of every fingerprint."""

    SANDBOX = "sandbox"
    LIVE = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputImage:
    """One image from a caller: its header, and the *path* of its bytes while the order runs.

    *role* is `image`, `mask` or `markup`; *digest* the SHA-256 of its bytes in hex, as they came. *width* and *height* are
    those it is shown at; an Exif *orientation* other than 1 says how its stored pixels are turned for that.
    """

    role: str
    digest: str
    format: str
    width: int
    height: int
    size_bytes: int
    has_alpha: bool
    path: str
    orientation: int = 1

    @property
    def is_on_its_side(self) -> bool:
        """Tell if its orientation swaps width and height."""
        return self.orientation >= 5


@dataclass(frozen=True, slots=True)
class Cutout:
    """The part that an edit keeps: *image* where *mask* is opaque; partial alpha blends."""

    image: InputImage
    mask: InputImage


@dataclass(frozen=True, slots=True)
class Finish:
    """The remaining work on an image: resample to *width* x *height*, restore the *cutout*, then convert to *format*.

    None leaves size or format as they are. *compression* is the asked `output_compression`; None is the provider's default, the
    highest quality.
    """

    width: int | None = None
    height: int | None = None
    cutout: Cutout | None = None
    compression: int | None = None
    format: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCall:
    """One request to a backend for *n* images; *safety_identifier* is a keyed hash.

    With *partial_images* above 0 the backend streams that many stages of each image. Work on its inputs is done in the turn
    of *holder*.
    """

    model: str
    prompt: str
    n: int
    parameters: Parameters
    safety_identifier: str
    operation: Operation = Operation.GENERATE
    inputs: tuple[InputImage, ...] = ()
    partial_images: int = 0
    holder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawImage:
    """One image as a backend returned it; behind a *url*, its *data* must still be fetched."""

    data: bytes
    revised_prompt: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallMade:
    """The answer to a call: 1 to n images, the provider's token counts, and the values it chose.

    *resolved* has `quality`, `size`, `background` and `output_format`.
    """

    images: tuple[RawImage, ...]
    usage: Mapping[str, Any] | None
    resolved: Mapping[str, str]
    answered_model: str | None = None


class ContentCredentials(StrEnum):
    """The state of a provider's content credentials: absent, kept, or lost in resampling.

    Unknown for a file with so many segments that the search stopped before its end.
    """

    NONE = "none"
    KEPT = "kept"
    LOST = "lost"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One finished, stored image, with all that a later hit needs.

    *digest* is the SHA-256 of its bytes in hex, *usage* its share of its call. *cost_microusd* None is an
    unknown price, which is not free. *credentials* is the state of the provider's content credentials (C2PA). *backend* made
    it as an image of *sent_model*; both are empty where only the image matters, such as in the cache.
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
    backend: str = ""
    sent_model: str = ""

    @property
    def name(self) -> str:
        """The file name in the store and in links."""
        return f"{self.digest}.{self.format}"


class Source(StrEnum):
    """The source of an image in an answer: the cache, a call of another order, or a call of this one."""

    HIT = "hit"
    COALESCED = "coalesced"
    MADE = "made"
