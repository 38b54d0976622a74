"""The contract DALL·E 2 and 3 had until they were switched off in May 2026.

Owns their parameters and limits. Used only when the sandbox is started with `--legacy-dalle`.
"""

from service.sandbox.fields import Fields, read_choice, read_integer, read_optional_text, read_text
from service.sandbox.marks import order_hash
from service.sandbox.models import Model
from service.sandbox.orders import Order
from service.sandbox.refusals import Refusal, unknown_parameter

_PARAMETERS = frozenset({"model", "n", "prompt", "quality", "response_format", "size", "user"})


def read_dalle_order(sent: Fields, model: Model) -> Order:
    """Return the order, or raise the refusal of that time."""
    is_three = model.images_max == 1
    allowed = _PARAMETERS | {"style"} if is_three else _PARAMETERS
    for name in sent:
        if name not in allowed:
            raise unknown_parameter(name)
    read_choice(sent, "style", ("vivid", "natural"), default="vivid")
    read_optional_text(sent, "user")
    width, height = _read_size(sent, model)
    return Order(
        model=model,
        prompt=read_text(sent, "prompt", longest=model.longest_prompt),
        n=_read_n(sent, model),
        width=width,
        height=height,
        quality=read_choice(sent, "quality", model.qualities, default="standard"),
        order_hash=order_hash(sent),
        response_format=read_choice(sent, "response_format", ("url", "b64_json"), default="url"),
    )


def _read_n(sent: Fields, model: Model) -> int:
    n = read_integer(sent, "n", default=1, lowest=1, highest=10)
    if n > model.images_max:
        raise Refusal(400, "You must provide n=1 for this model.")
    return n


def _read_size(sent: Fields, model: Model) -> tuple[int, int]:
    size = read_text({"size": "1024x1024", **sent}, "size")
    if size not in (model.sizes or ()):
        raise Refusal(400, "The size is not supported by this model.", code="invalid_size")
    width, _, height = size.partition("x")
    return int(width), int(height)
