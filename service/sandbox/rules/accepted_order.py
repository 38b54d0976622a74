"""Define an accepted order, with every `auto` resolved.

The rules make it; painting and answers use it.
"""

from dataclasses import dataclass

from service.sandbox.rules.models import Model
from service.sandbox.wire.inputs import Input


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order to paint; *order_hash* covers the request as sent, the other members describe the result."""

    model: Model
    prompt: str
    n: int
    width: int
    height: int
    quality: str
    order_hash: str
    background: str = "opaque"
    output_format: str = "png"
    output_compression: int = 100
    response_format: str = "b64_json"
    safety_identifier: str | None = None
    inputs: tuple[Input, ...] = ()
    is_streamed: bool = False
    partial_images: int = 0

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"
