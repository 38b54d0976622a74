"""What the sandbox says yes with: image answers and model descriptions.

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
_LETTERS_PER_TOKEN = 4


def to_generation(order: Order, pictures: Sequence[Painted]) -> dict[str, object]:
    """Return the answer of the GPT image models."""
    answer: dict[str, object] = {
        "created": _now_s(),
        "background": order.background,
        "data": [{"b64_json": picture.base64} for picture in pictures],
        "output_format": order.output_format,
        "quality": order.quality,
        "size": order.size,
        "usage": _to_usage(order, len(pictures)),
    }
    if order.safety_identifier:
        answer["safety_identifier"] = order.safety_identifier
    return answer


def to_dalle_generation(order: Order, delivered: Sequence[str]) -> dict[str, object]:
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


def _to_usage(order: Order, images: int) -> dict[str, object]:
    share = order.width * order.height / (1024 * 1024)
    image_tokens = images * math.ceil(_IMAGE_TOKENS[order.quality] * share)
    text_tokens = math.ceil(len(order.prompt) / _LETTERS_PER_TOKEN)
    return {
        "input_tokens": text_tokens,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": text_tokens},
        "output_tokens": image_tokens,
        "output_tokens_details": {"image_tokens": image_tokens, "text_tokens": 0},
        "total_tokens": text_tokens + image_tokens,
    }


def _now_s() -> int:
    return int(datetime.now(UTC).timestamp())
