"""Describe the answers about the service itself: failures, models, liveness and readiness."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field


class ErrorBody(BaseModel):
    """The failure. `message` names a correct value where there is one; `code` is for programs."""

    message: str
    type: str = Field(description="Kind of the failure, such as `invalid_request_error` or `upstream_error`.")
    param: str | None = Field(description="The field at fault.")
    code: str | None = Field(description="The failure by its name, such as `rate_limit_exceeded`.")
    images_kept: int | None = Field(
        None, description="Finished images that a repeat of the order finds for free."
    )


class ErrorResponse(BaseModel):
    """The envelope of every failure."""

    error: ErrorBody


class ImageErrorEvent(BaseModel):
    """The failure of an order after its stream has begun; the last event."""

    type: Literal["error"]
    error: ErrorBody


class SimpleImageError(BaseModel):
    """A failure of `POST /generate_image`."""

    error: Annotated[
        object,
        Field(
            description="The message. If the gateway refuses the request before it is read (401, 403, 408, 413, 429, "
            "503), an object with `message`, `type`, `param` and `code`, as on all other routes."
        ),
    ]
    details: ErrorBody | None = None


class Model(BaseModel):
    """A model that orders may name."""

    id: str
    object: Literal["model"]
    created: int = Field(description="Its release, in seconds since 1970.")
    owned_by: str
    shutdown_date: str | None = Field(
        description="The day on which its provider ends it; from then on a current model answers for it. "
        "Null: no end is announced.",
        json_schema_extra={"format": "date"},
    )


class ModelList(BaseModel):
    """All models that orders may name."""

    object: Literal["list"]
    data: list[Model]


class Liveness(BaseModel):
    """The state of a process that runs."""

    status: Literal["ok"]


class ConditionDetails(BaseModel):
    """The beginning of the condition of a part, and advice on it."""

    advice: str | None = None
    since: str | None = Field(None, json_schema_extra={"format": "date-time"})


class Readiness(BaseModel):
    """The state of a process that takes orders; the conditions of its parts with `verbose`."""

    status: str = Field(description="`ok`, or `draining` once the process ends.")
    state: str | None = Field(
        None, description="Redis: `ok`, or `degraded` while limits and cache are local."
    )
    store: str | None = Field(None, description="The store of images: `ok` or `failing`.")
    journal: str | None = Field(None, description="The journal of costs: `ok`, `low` or `failing`.")
    provider: str | None = Field(
        None,
        description="The provider, as its last calls found it: `ok`, `unknown`, `failing`, `unreachable` or `refused`.",
    )
    queue: str | None = Field(
        None,
        description="The queue of calls: `ok`; `waiting` while calls wait, `full` while no more may; `untrusted` while "
        "one call at a time tries a provider that broke calls off.",
    )
    details: dict[str, ConditionDetails] | None = Field(None, description="Details by part.")
