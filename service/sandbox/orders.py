"""One accepted request, with every `auto` resolved.

Owns the value that the rules produce and the painter and the answers consume. Holds no logic.
"""

from dataclasses import dataclass

from service.sandbox.inputs import Input
from service.sandbox.models import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """*order_hash* is over what was sent, everything else is what will be made."""

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
