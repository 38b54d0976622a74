"""Write the sandbox's good answers: image answers, events of a stream, model descriptions.

Owns the JSON shapes and the invented token counts. Does not paint.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, time

from service.sandbox.models import Contract, Model
from service.sandbox.orders import Order
from service.sandbox.studio import Painted

# Output tokens of a 1024x1024 picture by gpt-image-2 as observed; for xhigh and max no figure is known, so each
# doubles the one before. Other sizes scale with their pixels, which the real service does only roughly.
_IMAGE_TOKENS = {"low": 196, "medium": 1756, "high": 7024, "xhigh": 14_048, "max": 28_096}
_PARTIAL_TOKENS = 100
_LETTERS_PER_TOKEN = 4


def to_answer(
    order: Order, pictures: Sequence[Painted], urls: Sequence[str] | None = None
) -> dict[str, object]:
    """Return the answer of the GPT image models; with *urls* as some servers that imitate them answer."""
    usage = _to_usage(order, len(pictures))
    usage["output_tokens_details"] = {"image_tokens": usage["output_tokens"], "text_tokens": 0}
    return {
        "created": _now_s(),
        "data": [{"url": url} for url in urls]
        if urls is not None
        else [{"b64_json": picture.base64} for picture in pictures],
        **_to_look(order),
        "usage": usage,
        **_to_identifier(order),
    }


def to_partial(order: Order, base64: str, step: int) -> dict[str, object]:
    """Return the members of a `partial_image` event but its type."""
    return {"b64_json": base64, "created_at": _now_s(), **_to_look(order), "partial_image_index": step}


def to_completed(order: Order, picture: Painted, *, is_first: bool) -> dict[str, object]:
    """Return the members of a `completed` event but its type.

    What went in is counted with the first picture only, so that the events of a stream add up to its order.
    """
    return {
        "b64_json": picture.base64,
        "created_at": _now_s(),
        **_to_look(order),
        "usage": _to_usage(order, 1, is_input_counted=is_first),
        **_to_identifier(order),
    }


def to_dalle_answer(order: Order, delivered: Sequence[str]) -> dict[str, object]:
    """Return the answer of DALL·E; *delivered* are URLs or base64 as the order asked."""
    extra = {"revised_prompt": f"A detailed picture: {order.prompt}"} if order.model.images_max == 1 else {}
    return {"created": _now_s(), "data": [extra | {order.response_format: one} for one in delivered]}


def to_model(model: Model) -> dict[str, object]:
    owner = "openai-internal" if model.contract is Contract.DALLE else "system"
    return {
        "id": model.name,
        "object": "model",
        "created": int(datetime.combine(model.released, time(), UTC).timestamp()),
        "owned_by": owner,
        "shutdown_date": model.shutdown.isoformat() if model.shutdown else None,
    }


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
