"""Define the behaviour that `/sandbox/behaviour` sets, for all keys or for one.

Owns the settings and their defaults; `conduct` holds them and counts failures down. `answers` applies them,
`scripted_failures` and `key_states` write the answers.

To add a member, give it a default that changes nothing, and apply it where a request has its `JournaledRequest.behaviour`. Then
`tests/sandbox/test_page.py` demands its row in `docs/sandbox.md`.
"""

import random
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.sandbox.wire.azure_refusals import FilterRefusal
from service.sandbox.wire.error_shapes import ErrorShape
from service.sandbox.wire.retry_headers import RetryStyle

Seconds = float
Operation = Literal["generate", "edit"]
Account = Literal["active", "revoked", "deactivated", "no_quota", "billing_limit", "blocked"]


class Failure(BaseModel):
    """A scripted failure: the answer to the next *count* matching requests, instead of images."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: int = Field(ge=200, le=599)
    code: str | None = None
    message: str | None = None
    count: int = Field(default=1, ge=1)
    retry_after_s: Seconds | None = Field(default=None, ge=0)
    retry_style: RetryStyle = "both"
    after_painting: bool = False
    body: Literal["envelope", "html", "empty", "truncated_json", "empty_data", "gzip_bomb", "cut"] = (
        "envelope"
    )
    bomb_bytes: int = Field(default=256 * 1024 * 1024, ge=1, description="size of a gzip bomb once decoded")
    headers: dict[str, str] = Field(default_factory=dict, description="such as the location of a redirect")


class Throttle(BaseModel):
    """Answers 429 to orders *for_s* seconds from the `PUT` on, or to the next *requests*."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    for_s: Seconds | None = Field(default=None, gt=0)
    requests: int | None = Field(default=None, ge=1)
    retry_after_s: Seconds | None = Field(
        default=None, ge=0, description="the wait that is asked for; by default the time left, or 1 second"
    )
    retry_style: RetryStyle = "both"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.for_s is None) is (self.requests is None):
            raise ValueError("a throttle needs for_s or requests, and not both")
        return self


class Behaviour(BaseModel):
    """All settings; a member left out of a `PUT` has the value from the start of the process."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latency_s: Seconds = Field(default=0, ge=0)
    latency_jitter_s: Seconds = Field(
        default=0, ge=0, description="at most this much is added, evenly distributed"
    )
    failures: tuple[Failure, ...] = ()
    failure_match: str | None = Field(default=None, description="failures apply to prompts that contain this")
    refuse_words: tuple[str, ...] = ("forbidden-word",)
    rate_limit_images_per_min: int | None = Field(
        default=None, ge=0, description="of each key; Azure says it in requests"
    )
    throttle: Throttle | None = None
    account: Account = "active"
    missing_models: tuple[str, ...] = Field(
        default=(), description="models or deployments that a key has not"
    )
    stream_fault: Literal["error_event", "cut", "silent_end"] | None = Field(
        default=None,
        description="breaks streams after the first partial image, or before the first event if there are no "
        "partial images: an error event and no charge, a closed connection, or a clean end without images",
    )
    images_short: int | None = Field(
        default=None, ge=0, description="number of images missing from each answer"
    )
    paint: Literal["full", "flat"] = "full"
    answer_urls: bool = Field(
        default=False, description="GPT image models answer with URLs, as DALL-E did; not in streams"
    )
    image_url: str | None = Field(
        default=None, description="the URL of every image in an answer, instead of one that works"
    )
    painted_size: str | None = Field(
        default=None,
        pattern=r"^[1-9][0-9]{1,3}x[1-9][0-9]{1,3}$",
        description="size of all images, whatever was ordered and is said in the answer",
    )
    bare_answers: bool = Field(default=False, description="answers have created and data, and no usage")
    keyless: bool = Field(default=False, description="requests need no key")
    operations: tuple[Operation, ...] = Field(default=("generate", "edit"), description="others are a 404")
    refused_parameters: tuple[str, ...] = ()
    several: Literal["native", "refused", "ignored"] = Field(
        default="native", description="n above 1 is taken, a 400, or makes one image"
    )
    makes: Literal["png", "jpeg", "webp"] | None = Field(
        default=None, description="the only format, whatever was ordered"
    )
    masks: Literal["transparent", "white"] = Field(
        default="transparent",
        description="the part of a mask that is edited; a white one needs no alpha channel",
    )
    error_shape: ErrorShape = "openai"
    embed_credentials: bool = Field(
        default=False, description="painted PNGs have an unsigned C2PA manifest store"
    )
    repeat_pictures: bool = Field(default=False, description="equal orders get equal images, byte for byte")
    filter_results: Literal["images", "top", "none"] = Field(
        default="images", description="place of the results of Azure's content filter in an answer"
    )
    filter_refusal: FilterRefusal = Field(
        default="inner_error", description="form of Azure's refusal of a prompt"
    )

    def is_refused(self, prompt: str) -> bool:
        lowered = prompt.lower()
        return any(word.lower() in lowered for word in self.refuse_words)

    def choose_latency_s(self) -> Seconds:
        return self.latency_s + random.uniform(0, self.latency_jitter_s)

    def choose_images(self, asked: int) -> int:
        return max(0, asked - (self.images_short or 0))


DEVIATIONS: Mapping[str, Any] = {
    "answer_urls": True,
    "bare_answers": True,
    "error_shape": "text",
    "keyless": True,
    "makes": "jpeg",
    "masks": "white",
    "refused_parameters": ("quality", "user"),
    "several": "refused",
}
"""The behaviour of a compatible server at its start."""
