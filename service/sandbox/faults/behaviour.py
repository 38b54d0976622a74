"""Hold the behaviour that `/sandbox/behaviour` sets: latency, scripted failures, refused words and more.

Owns the settings and their bookkeeping. `answers.fulfil` and `answers.streams` apply them, `scripted_failures`
writes the answers.
"""

import random
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Seconds = float


class Failure(BaseModel):
    """A scripted failure: the answer to the next *count* matching requests, instead of images."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: int = Field(ge=200, le=599)
    code: str | None = None
    message: str | None = None
    count: int = Field(default=1, ge=1)
    retry_after_s: Seconds | None = Field(default=None, ge=0)
    after_painting: bool = False
    body: Literal["envelope", "html", "empty", "truncated_json"] = "envelope"


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
    rate_limit_images_per_min: int | None = Field(default=None, ge=0)
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
    embed_credentials: bool = Field(
        default=False, description="painted PNGs have an unsigned C2PA manifest store"
    )
    repeat_pictures: bool = Field(default=False, description="equal orders get equal images, byte for byte")


class Conduct:
    """Holds the current behaviour and takes its failures one after the other."""

    def __init__(self, at_start: Behaviour) -> None:
        self._at_start = at_start
        self._dice = random.Random()
        self.behaviour = at_start

    def replace(self, body: bytes) -> None:
        """Apply a JSON object; changes nothing if it raises `pydantic.ValidationError`."""
        asked = Behaviour.model_validate_json(body)
        self.behaviour = self._at_start.model_copy(
            update={name: getattr(asked, name) for name in asked.model_fields_set}
        )

    def reset(self) -> None:
        self.behaviour = self._at_start

    def take_failure(self, prompt: str) -> Failure | None:
        """Return the failure for this request, and count it down."""
        behaviour = self.behaviour
        if not behaviour.failures or (behaviour.failure_match or "") not in prompt:
            return None
        first, *rest = behaviour.failures
        if first.count > 1:
            rest.insert(0, first.model_copy(update={"count": first.count - 1}))
        self.behaviour = behaviour.model_copy(update={"failures": tuple(rest)})
        return first

    def is_refused(self, prompt: str) -> bool:
        lowered = prompt.lower()
        return any(word.lower() in lowered for word in self.behaviour.refuse_words)

    def choose_latency_s(self) -> Seconds:
        return self.behaviour.latency_s + self._dice.uniform(0, self.behaviour.latency_jitter_s)

    def choose_images(self, asked: int) -> int:
        return max(0, asked - (self.behaviour.images_short or 0))
