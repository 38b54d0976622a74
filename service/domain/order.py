"""Define the values of an order: as asked, as sent, and as the shared state knows it.

Money is in integer micro-dollars, times are in seconds.
"""

from dataclasses import dataclass, field

from service.domain.callers import Caller
from service.domain.catalog import Model
from service.domain.images import Delivery, Finish, InputImage, Operation, Parameters, Realm
from service.domain.limits import Limit

PROMISED_S = 60.0
"""The time of the objective for time (`deploy/prometheus/rules.yml`): orders that allow less are promised nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheControl:
    """The request's `cache-control`, as it applies to a pool of variants.

    *reuse* False (`no-cache`) makes fresh variants; *keep* False (`no-store`) neither reads nor fills the
    pool; *max_age_s* bounds the age of reused ones.
    """

    reuse: bool = True
    keep: bool = True
    only_if_cached: bool = False
    max_age_s: float | None = None


@dataclass(frozen=True, slots=True)
class Idempotency:
    """The hash of an `Idempotency-Key` within its caller, and the hash of its order."""

    key: str
    order: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOrder:
    """One validated request, with the parameters of the *asked* model.

    *parameters* are the caller's values beyond the fields here, without nulls. *is_streamed* wants each
    image as soon as it exists. *is_hurried*: its caller left it less time than the gateway aims at
    (`PROMISED_S`), so that a failure for time is the caller's. *is_retry*: an SDK sent it before. *idempotency_key* and *safety_identifier* are the
    caller's own: the first leaves the process only as a keyed hash, the second only in the answer.
    """

    id: str
    operation: Operation
    asked: Model
    prompt: str
    n: int
    parameters: Parameters
    delivery: Delivery
    caller: Caller
    deadline_s: float
    is_hurried: bool = False
    cache: CacheControl = field(default_factory=CacheControl)
    safety_identifier: str | None = None
    inputs: tuple[InputImage, ...] = ()
    is_streamed: bool = False
    partial_images: int = 0
    is_retry: bool = False
    idempotency_key: str | None = None

    @property
    def fans_out(self) -> bool:
        """Tell if this may be one of several orders that stand for one of several images (see `fanout_window`)."""
        is_single = self.n == 1 and self.asked.images_per_call == 1
        is_repeat = self.is_retry or self.idempotency_key is not None
        # With a bound on age, each new window might find nothing young enough and make more images.
        uses_cache = self.cache.reuse and not self.cache.only_if_cached and self.cache.max_age_s is None
        return is_single and not is_repeat and uses_cache and self.caller.equal_orders == "differ"


@dataclass(frozen=True, slots=True, kw_only=True)
class SentOrder:
    """The order with the parameters of the *target*, the model that makes it (see `bridge`).

    *images_per_call* is the asked model's: dall-e-3 makes one image a call; it is never more than a backend, or the
    fallback, makes. *bridge_version* is empty without a translation; *operation* is the model's, an edit for a bridged
    variation. The *partial_images* of a stream change its price, not its images. *backends* may make it in this form, the
    preferred first; empty means all. Others may make its *fallback*, if it has one.
    """

    target: Model
    prompt: str
    parameters: Parameters
    images_per_call: int
    output_format: str
    finish: Finish | None = None
    bridge_version: str = ""
    operation: Operation = Operation.GENERATE
    inputs: tuple[InputImage, ...] = ()
    instructions: tuple[str, ...] = ()
    partial_images: int = 0
    backends: tuple[str, ...] = ()
    fallback: "SentOrder | None" = None

    def prompt_for(self, index: int) -> str:
        """Return the prompt for the pool index *index*: variations have an instruction each."""
        return self.instructions[index % len(self.instructions)] if self.instructions else self.prompt


@dataclass(frozen=True, slots=True)
class Price:
    """The estimate for one image (None if unknown), and its *weight*, the number it counts for."""

    weight: int = 1
    microusd: int | None = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The origin of images, kept with each; *parents* are the digests of the inputs.

    *is_brief*: the caller asked not to keep them (`no-store`).
    """

    asked_model: str = ""
    operation: Operation = Operation.GENERATE
    fingerprint: str = ""
    parents: tuple[str, ...] = ()
    is_brief: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """An accepted order as the shared state knows it: built once, held by every ask, lease and settlement.

    Has no prompt and no input, so that it may be stored. *model* is the sent model's name. *pool* names the
    images that equal orders share in the shared state; None keeps the order out of the cache. *fans_out*: equal orders
    at once get different images (see `fanout_window`).
    *safety_identifier* is the keyed hash that stands for the order's person at the provider.
    """

    id: str
    caller: Caller
    model: str
    realm: Realm
    pool: str | None
    limits: tuple[Limit, ...]
    price: Price
    origin: Origin
    idempotency: Idempotency | None = None
    fans_out: bool = False
    safety_identifier: str = ""
