"""Add the results of Azure's content filter to a good answer."""

from collections.abc import Sequence
from typing import Literal

from service.sandbox.wire.azure_refusals import to_filter_results


def add_filter_results(answer: dict[str, object], place: Literal["images", "top", "none"]) -> None:
    """Add what the filter found in prompt and image, both harmless, to each image or once for all."""
    data = answer["data"]
    entries: Sequence[object] = data if place == "images" and isinstance(data, Sequence) else [answer]
    for entry in entries:
        if place != "none" and isinstance(entry, dict):
            entry["prompt_filter_results"] = to_filter_results(is_prompt=True)
            entry["content_filter_results"] = to_filter_results(is_prompt=False)
