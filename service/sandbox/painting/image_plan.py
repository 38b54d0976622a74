"""Define the plan of one image to paint."""

from dataclasses import dataclass

from service.sandbox.painting.watermark import Watermark


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """One image to paint; *is_flat* paints only the watermark, at a fraction of the cost.

    A sketch has *block* above 1: apart from the watermark it is painted that many times smaller and then enlarged,
    each pixel to a square. It looks like the finished image from afar.
    """

    model: str
    prompt: str
    width: int
    height: int
    quality: str
    output_format: str
    output_compression: int
    is_transparent: bool
    is_flat: bool
    watermark: Watermark
    block: int = 1
    has_credentials: bool = False

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def canvas_size(self) -> tuple[int, int]:
        return max(1, self.width // self.block), max(1, self.height // self.block)
