"""The values of an order: the caller, the request, the calls and their results.

Frozen dataclasses without behaviour beyond small derivations. Money is integer
micro-dollars, sizes are bytes or pixels, times are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from service.domain.callers import Caller
from service.domain.errors import GatewayError, LimitState
from service.domain.failures import CallFailure

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
class CacheControl:
    """The request's `cache-control`, as far as it applies to a pool of variants.

    *reuse* False (`no-cache`) makes fresh variants; *keep* False (`no-store`)
    neither reads nor fills the pool; *max_age_s* bounds the age of reused ones.
    """

    reuse: bool = True
    keep: bool = True
    only_if_cached: bool = False
    max_age_s: float | None = None


@dataclass(frozen=True, slots=True)
class Idempotency:
    """An `Idempotency-Key` as a keyed hash within its caller, and the hash of the order it came with."""

    key: str
    order: str


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOrder:
    """One validated request, still in the words of the asked model.

    *parameters* holds the caller's values beyond the fields here, nulls
    dropped. *is_streamed* wants each image as soon as it exists. *idempotency_key* is
    the caller's own: only its keyed hash leaves the process. *safety_identifier* is the
    caller's own too, echoed back to it and never sent on.
    """

    id: str
    operation: Operation
    asked_model: str
    prompt: str
    n: int
    parameters: Parameters
    delivery: Delivery
    caller: Caller
    deadline_s: float
    cache: CacheControl = field(default_factory=CacheControl)
    safety_identifier: str | None = None
    inputs: tuple[InputImage, ...] = ()
    is_streamed: bool = False
    partial_images: int = 0
    idempotency_key: str | None = None


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
class SentOrder:
    """The order in the words of the model that will make it (see `bridge`).

    *images_per_call* is the asked model's: dall-e-3 makes one image a call.
    *bridge_version* is empty when nothing was translated; *operation* is the one the
    model performs, which for a bridged variation is an edit.
    """

    model: str
    prompt: str
    parameters: Parameters
    images_per_call: int
    output_format: str
    finish: Finish | None = None
    bridge_version: str = ""
    operation: Operation = Operation.GENERATE
    inputs: tuple[InputImage, ...] = ()
    instructions: tuple[str, ...] = ()

    def prompt_for(self, index: int) -> str:
        """Return the prompt for the pool index *index*: variations have an instruction each."""
        return self.instructions[index % len(self.instructions)] if self.instructions else self.prompt


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """Fact: the order may proceed; *pending* images are still to be made.

    *is_replayed*: the answer was given before, for the same `Idempotency-Key`.
    """

    limits: tuple[LimitState, ...]
    degraded: bool
    pending: int
    is_replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReady:
    """Fact: the image for place *position* of the answer is ready.

    *data* are its bytes where the delivery needs them. *age_s* is 0 unless
    it was a hit.
    """

    position: int
    image: Image
    source: Source
    data: bytes | None = None
    age_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialReady:
    """Fact: stage *number* (from 0) of the image for *position*, as the backend showed it."""

    position: int
    number: int
    data: bytes
    shown_at_s: float
    resolved: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailed:
    """Fact: the places *positions* of the answer stay empty."""

    positions: tuple[int, ...]
    failure: CallFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDone:
    """Fact, always the last: *error* is None when every place was filled."""

    error: GatewayError | None = None


OrderFact = Admitted | PartialReady | ImageReady | CallFailed | OrderDone
