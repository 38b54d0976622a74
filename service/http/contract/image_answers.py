"""Describe the answers of the image routes: images, token counts, and the events of streams.

`http/schemas.py` and `http/streaming.py` write them; `tests/contract/test_examples.py` compares.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

_B64 = Annotated[str, Field(description="The image file in base64.")]


class ImageData(BaseModel):
    """One image of an answer: by link or in base64."""

    url: str | None = Field(None, description="Signed link to the image, with `response_format` `url`.")
    b64_json: str | None = Field(
        None, description="The image file in base64, with `response_format` `b64_json`."
    )
    revised_prompt: str | None = Field(
        None, description="The prompt that the image was made from, for `dall-e-3` only."
    )


class InputTokens(BaseModel):
    """Input tokens by kind."""

    text_tokens: int
    image_tokens: int


class OutputTokens(BaseModel):
    """Output tokens by kind."""

    text_tokens: int | None = None
    image_tokens: int | None = None


class TokenUsage(BaseModel):
    """Tokens as the provider counted them, added up over the images of the answer; cached images keep theirs."""

    total_tokens: int
    input_tokens: int
    output_tokens: int
    input_tokens_details: InputTokens | None = None
    output_tokens_details: OutputTokens | None = None


class PartialError(BaseModel):
    """The reason why an image is missing in an answer to `Prefer: return=partial`."""

    index: int = Field(description="Place of the missing image, from 0.")
    message: str
    type: str
    param: str | None
    code: str | None


class ImagesResponse(BaseModel):
    """The images of an order. Orders for DALL·E models answer `created` and `data` only."""

    created: int = Field(description="Seconds since 1970.")
    data: list[ImageData]
    background: str | None = Field(None, description="`transparent` or `opaque`.")
    output_format: str | None = Field(None, description="Format of the files, such as `png`.")
    quality: str | None = Field(None, description="Quality of the images, such as `high`.")
    size: str | None = Field(None, description="Size of the images, such as `1024x1024`.")
    usage: TokenUsage | None = None
    safety_identifier: str | None = Field(None, description="The end user that the order named.")
    errors: list[PartialError] | None = Field(
        None, description="Missing images, with `Prefer: return=partial`."
    )


class SimpleImageResponse(BaseModel):
    """The image of `POST /generate_image`."""

    image_base64: str = Field(description="The PNG file in base64.")


class _ImageEvent(BaseModel):
    b64_json: _B64
    size: str
    quality: str
    background: str
    output_format: str
    created_at: int = Field(description="Seconds since 1970.")
    index: int = Field(description="Place of the image in the order, from 0. An addition to OpenAI's events.")


class _PartialImage(_ImageEvent):
    partial_image_index: int = Field(description="Number of the stage of this image, from 0.")


class _Completed(_ImageEvent):
    usage: TokenUsage
    url: str | None = Field(
        None,
        description="Signed link to the image; its last segment is the name of the image. Absent if the store did not take it.",
    )
    backend: str | None = Field(
        description="The backend that made the image, by its name in the configuration; null if it was not made for this order."
    )
    sent_model: str | None = Field(
        description="The model that made the image; null if it was not made for this order."
    )
    cost_microusd: int | None = Field(
        description="Cost of the image in millionths of a US dollar; 0 for cached and shared ones, null if unknown."
    )
    cache: str = Field(
        description="`hit`, `miss`, `coalesced` (shared with another order), or `none` for an order without the cache."
    )
    revised_prompt: str | None = Field(
        None, description="The prompt that the image was made from, for `dall-e-3` only."
    )
    safety_identifier: str | None = Field(None, description="The end user that the order named.")


class ImageGenPartialImageEvent(_PartialImage):
    """A stage of an image that is being made."""

    type: Literal["image_generation.partial_image"]


class ImageGenCompletedEvent(_Completed):
    """A finished image."""

    type: Literal["image_generation.completed"]


class ImageEditPartialImageEvent(_PartialImage):
    """A stage of an image that is being edited."""

    type: Literal["image_edit.partial_image"]


class ImageEditCompletedEvent(_Completed):
    """A finished edit."""

    type: Literal["image_edit.completed"]
