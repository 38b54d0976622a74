"""Write the orders of the scenarios: what is new each time, and what is always the same."""

import itertools
from uuid import uuid4

from tests.bench.load import Order, Orders, edit_form, order_json
from tests.bench.stub import ask_for, picture

BASE64, LINK = "b64_json", "url"
SMALL_BYTES, LARGE_BYTES, LARGER_BYTES, LARGEST_BYTES = 5_000, 1_500_000, 3_000_000, 4_000_000


def fresh(delivery: str, image_bytes: int, *, late_ms: int = 0, count: int = 1) -> Orders:
    """Return orders of which none was made before."""
    run, numbers = uuid4().hex, itertools.count()
    return lambda _: _order(f"{run} {next(numbers)}", delivery, image_bytes, late_ms, count)


def same(delivery: str, image_bytes: int, *, late_ms: int = 0) -> Orders:
    """Return one order again and again."""
    order = _order(uuid4().hex, delivery, image_bytes, late_ms, 1)
    return lambda _: order


def fresh_edit(file_bytes: int, image_bytes: int) -> Orders:
    """Return edits of one file, each new."""
    file, run, numbers = picture(file_bytes), uuid4().hex, itertools.count()
    return lambda _: edit_form(
        file, model="gpt-image-2", prompt=f"a hat {run} {next(numbers)} {ask_for(image_bytes)}"
    )


def _order(name: str, delivery: str, image_bytes: int, late_ms: int, count: int) -> Order:
    prompt = f"a cat {name} {ask_for(image_bytes, late_ms)}"
    fields = {"model": "dall-e-3", "prompt": prompt, "response_format": delivery}
    return order_json(fields if count == 1 else {**fields, "n": count})
