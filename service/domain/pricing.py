"""Price images in integer micro-dollars, rounded up; a price that is not in the catalogue is None, never 0."""

import math
from collections.abc import Mapping
from typing import Any

from service.domain.catalog import Model, pixels_of
from service.domain.images import Parameters
from service.domain.order import SentOrder
from service.domain.sizes import parse_size

_BASE_PIXELS = 1024 * 1024
_BYTES_PER_TOKEN = 3
_TOKENS_PER_STAGE = 100
"""Output tokens of an unfinished image of a stream (OpenAI, 2026-09-09)."""


def price_usage(model: Model, usage: Mapping[str, Any]) -> int | None:
    """Return the price of the tokens in *usage*, the provider's object; None without a token price or totals."""
    total_out = usage.get("output_tokens")
    total_in = usage.get("input_tokens")
    if model.costs.price is None or not isinstance(total_out, int) or not isinstance(total_in, int):
        return None
    details = usage.get("input_tokens_details")
    image_in = details.get("image_tokens") if isinstance(details, Mapping) else 0
    image_in = min(image_in, total_in) if isinstance(image_in, int) else 0
    text_out = usage.get("output_tokens_details")
    text_out = text_out.get("text_tokens") if isinstance(text_out, Mapping) else 0
    text_out = min(text_out, total_out) if isinstance(text_out, int) else 0
    price = model.costs.price
    cost = (
        (total_in - image_in) * price.text_in
        + image_in * price.image_in
        + (total_out - text_out) * price.image_out
        + text_out * (price.image_out if price.text_out is None else price.text_out)
    )
    return math.ceil(cost)


def counts_tokens(usage: Mapping[str, Any] | None) -> bool:
    """Tell if *usage* counts a call that made images: one of zeros comes from a server that does not count."""
    if usage is None or not isinstance(usage.get("input_tokens"), int):
        return False
    total_out = usage.get("output_tokens")
    return isinstance(total_out, int) and total_out > 0


def estimate_image(
    model: Model, parameters: Parameters, *, prompt_bytes: int = 0, inputs: int = 0
) -> int | None:
    """Return the highest expected price of one image of these *parameters*, or None if unknown.

    Output tokens are those of a 1024x1024 image of that quality, in proportion to its pixels if it is larger.
    Values that the provider chooses count at their dearest: `auto` quality as `high`. A token of text has at
    least three bytes on average (a Chinese character, or four letters of English).
    """
    quality = str(parameters.get("quality", "auto"))
    if model.costs.price_per_image:
        size = str(parameters.get("size", "1024x1024"))
        rule = model.contract.parameters.get("quality")
        default = rule.default if rule else None
        return model.costs.price_per_image.get(f"{parameters.get('quality', default)}/{size}")
    tokens = model.costs.output_tokens.get(quality)
    if model.costs.price is None or tokens is None:
        return None
    pixels = pixels_of(model, parameters.get("size"))
    made = tokens * max(1.0, pixels / _BASE_PIXELS) * model.costs.price.image_out
    read = prompt_bytes / _BYTES_PER_TOKEN * model.costs.price.text_in
    seen = inputs * model.costs.input_image_tokens * model.costs.price.image_in
    return math.ceil(made + read + seen)


def estimate_sent(sent: SentOrder, *, made: str = "") -> int | None:
    """Return the highest expected price of one image of *sent* with prompt, inputs and stages, or None if unknown.

    *made* is the size of the finished image, if the provider chose it; without it, the largest counts.
    """
    is_left_open = bool(made) and parse_size(str(sent.parameters.get("size"))) is None
    price = estimate_image(
        sent.target,
        {**sent.parameters, "size": made} if is_left_open else sent.parameters,
        prompt_bytes=len(sent.prompt.encode("utf-8", "surrogatepass")),
        inputs=len(sent.inputs),
    )
    if price is None or sent.target.costs.price is None:
        return price
    return price + math.ceil(sent.partial_images * _TOKENS_PER_STAGE * sent.target.costs.price.image_out)


def weigh_image(model: Model, parameters: Parameters) -> int:
    """Return the number that an image of these *parameters* counts for against limits of images."""
    quality = str(parameters.get("quality", "auto"))
    return model.costs.weights.get(quality, model.costs.weights.get("default", 1))
