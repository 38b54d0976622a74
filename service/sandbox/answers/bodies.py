"""Write the bodies of good answers: images, and the events of a stream.

Owns the JSON shapes and the invented token counts.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from service.sandbox.painting.studio import Painted
from service.sandbox.rules.accepted_order import Order

# Output tokens of a 1024x1024 image by gpt-image-2, as observed; xhigh and max are unknown, so each doubles the one
# before. Other sizes scale with their pixels; the real service does so only roughly.
_IMAGE_TOKENS = {"low": 196, "medium": 1756, "high": 7024, "xhigh": 14_048, "max": 28_096}
_PARTIAL_TOKENS = 100
_LETTERS_PER_TOKEN = 4


def to_answer(
    order: Order, images: Sequence[Painted], urls: Sequence[str] | None = None
) -> dict[str, object]:
    """Return the answer of the GPT image models; some imitations of them answer with *urls* instead of base64."""
    usage = _to_usage(order, len(images))
    usage["output_tokens_details"] = {"image_tokens": usage["output_tokens"], "text_tokens": 0}
    return {
        "created": _now_s(),
        "data": [{"url": url} for url in urls]
        if urls is not None
        else [{"b64_json": image.base64} for image in images],
        **_to_look(order),
        "usage": usage,
        **_to_identifier(order),
    }


def to_partial(order: Order, base64: str, step: int) -> dict[str, object]:
    """Return the members of a `partial_image` event, except its type."""
    return {"b64_json": base64, "created_at": _now_s(), **_to_look(order), "partial_image_index": step}


def to_completed(order: Order, image: Painted, *, is_first: bool) -> dict[str, object]:
    """Return the members of a `completed` event, except its type.

    Only the first event counts the input tokens, so the events of a stream add up to the usage of the order.
    """
    return {
        "b64_json": image.base64,
        "created_at": _now_s(),
        **_to_look(order),
        "usage": _to_usage(order, 1, is_input_counted=is_first),
        **_to_identifier(order),
    }


def to_dalle_answer(order: Order, delivered: Sequence[str]) -> dict[str, object]:
    """Return the answer of DALL·E; *delivered* are URLs or base64, as ordered."""
    extra = {"revised_prompt": f"A detailed picture: {order.prompt}"} if order.model.images_max == 1 else {}
    return {"created": _now_s(), "data": [extra | {order.response_format: one} for one in delivered]}


def _to_look(order: Order) -> dict[str, object]:
    return {
        "background": order.background,
        "output_format": order.output_format,
        "quality": order.quality,
        "size": order.size,
    }


def _to_identifier(order: Order) -> dict[str, object]:
    return {"safety_identifier": order.safety_identifier} if order.safety_identifier else {}


def _to_usage(order: Order, images: int, *, is_input_counted: bool = True) -> dict[str, object]:
    share = order.width * order.height / (1024 * 1024)
    per_image = math.ceil(_IMAGE_TOKENS[order.quality] * share) + order.partial_images * _PARTIAL_TOKENS
    text_tokens = math.ceil(len(order.prompt) / _LETTERS_PER_TOKEN) if is_input_counted else 0
    image_tokens = sum(one.tokens for one in order.inputs) if is_input_counted else 0
    return {
        "input_tokens": text_tokens + image_tokens,
        "input_tokens_details": {"image_tokens": image_tokens, "text_tokens": text_tokens},
        "output_tokens": images * per_image,
        "total_tokens": text_tokens + image_tokens + images * per_image,
    }


def _now_s() -> int:
    return int(datetime.now(UTC).timestamp())
