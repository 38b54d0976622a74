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


class FreeSizes(BaseModel):
    """The rules for any other `WIDTHxHEIGHT`."""

    multiple: int = Field(description="Width and height are multiples of it.")
    max_ratio: float = Field(description="Longest ratio of the longer edge to the shorter.")
    max_edge: int = Field(description="Most pixels of an edge.")
    min_pixels: int = Field(description="Fewest pixels of the image.")
    max_pixels: int = Field(description="Most pixels of the image.")


class ModelSizes(BaseModel):
    """The sizes of the images that a model makes."""

    fixed: list[str] = Field(description="Sizes by name: `WIDTHxHEIGHT`, or `auto` where the model chooses.")
    default: str = Field(description="The size of an order without one.")
    free: FreeSizes | None = Field(None, description="Rules for other sizes; absent if the model makes none.")


class ModelParameter(BaseModel):
    """The values of one parameter: one of `values`, an integer in a range, or of a `kind`."""

    values: list[str] | None = Field(None, description="All values.")
    minimum: int | None = Field(None, description="Least integer.")
    maximum: int | None = Field(None, description="Largest integer.")
    kind: str | None = Field(
        None, description="JSON type of a parameter without values or a range: `boolean` or `object`."
    )
    default: Annotated[
        object,
        Field(
            description="The text or integer that counts without the parameter; absent if nothing is known of it."
        ),
    ] = None
    operations: list[str] = Field(description="Operations that take the parameter.")


class ModelInputs(BaseModel):
    """The images that edits and variations send to a model."""

    formats: list[str] = Field(description="Formats of the files, such as `png`.")
    max_bytes: int = Field(description="Most bytes of a file.")
    max_pixels: int = Field(description="Most pixels of an image.")
    max_images: int = Field(description="Most images of an edit; a variation has one.")
    mask_max_bytes: int = Field(description="Most bytes of a mask.")
    square: bool = Field(description="True: images must be square.")
    needs_alpha: bool = Field(description="True: an edit without a mask needs an image with transparency.")
    takes_markup: bool = Field(description="True: an edit may have a `markup` in place of a mask.")


class Model(BaseModel):
    """A model that orders may name. Only the answer for one model has what orders may have."""

    id: str
    object: Literal["model"]
    created: int = Field(description="Its release, in seconds since 1970.")
    owned_by: str
    shutdown_date: str | None = Field(
        description="The day on which its provider ends it; from then on a current model answers for it. "
        "Null: no end is announced.",
        json_schema_extra={"format": "date"},
    )
    answered_by: str | None = Field(
        description="The model that makes the images today in place of this one; null if it makes them itself."
    )
    operations: list[str] | None = Field(None, description="Of `generate`, `edit` and `vary`.")
    max_n: int | None = Field(None, description="Most images of one order.")
    max_prompt_chars: int | None = Field(None, description="Most characters of a prompt.")
    sizes: ModelSizes | None = Field(None, description="Sizes of images.")
    parameters: dict[str, ModelParameter] | None = Field(
        None, description="Parameters by name, with the values that orders may have."
    )
    inputs: ModelInputs | None = Field(
        None, description="Images that orders may send; absent if the model takes none."
    )


class ModelList(BaseModel):
    """All models that orders may name."""

    object: Literal["list"]
    data: list[Model]


class Liveness(BaseModel):
    """The state of a process that runs."""

    status: Literal["ok"]


class KeyCondition(BaseModel):
    """The condition of one key of a backend, its beginning, and advice on it."""

    condition: str = Field(
        description="As of the provider, or `resting` while it gets no calls of some model, and works otherwise."
    )
    advice: str | None = None
    since: str | None = Field(None, json_schema_extra={"format": "date-time"})


class ConditionDetails(BaseModel):
    """The beginning of the condition of a part, and advice on it."""

    advice: str | None = None
    since: str | None = Field(None, json_schema_extra={"format": "date-time"})
    keys: dict[str, KeyCondition] | None = Field(
        None,
        description="Of a provider with several keys, the condition of each, by `backend/key`; the preferred first.",
    )


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
        description="The provider, as its last calls found it: `ok`, `unknown`, `failing`, `unreachable` or `refused`; `silent` "
        "while calls take twice as long as before, and none is answered. Of several keys, one that works is enough.",
    )
    queue: str | None = Field(
        None,
        description="The queue of calls: `ok`; `waiting` while calls wait, `full` while no more may; `untrusted` while "
        "single calls try a provider that broke calls off or did not answer.",
    )
    clock: str | None = Field(
        None,
        description="The clock: `ok`, or `off` while it differs from that of Redis by more than a minute.",
    )
    disk: str | None = Field(
        None,
        description="The disks: `ok`, or `low` while that of the data directory has no room for uploads, or that of the store "
        "is nearly full.",
    )
    details: dict[str, ConditionDetails] | None = Field(None, description="Details by part.")
