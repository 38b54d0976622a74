"""Watermarks stay readable after everything a gateway does to an image, except cropping."""

import io

import pytest
from PIL import Image

from service.sandbox.painting.image_plan import ImagePlan
from service.sandbox.painting.painter import paint
from service.sandbox.painting.watermark import Watermark, WatermarkUnreadable, read_watermark
from service.sandbox.rules.order_hash import order_hash

ORDER = {"model": "gpt-image-2", "prompt": "a cat", "size": "1024x1024"}
WATERMARKS = [
    Watermark(order_hash="0" * 16, serial=0),
    Watermark(order_hash="f" * 16, serial=2**32 - 1),
    Watermark(order_hash=order_hash(ORDER), serial=4711),
]


def make(watermark: Watermark = WATERMARKS[2], **changes: object) -> bytes:
    usual: dict[str, object] = {
        "model": "gpt-image-2",
        "prompt": "a cat",
        "width": 1024,
        "height": 1024,
        "quality": "low",
        "output_format": "png",
        "output_compression": 100,
        "is_transparent": False,
        "is_flat": False,
        "watermark": watermark,
    }
    return paint(ImagePlan(**{**usual, **changes}))  # type: ignore[arg-type] # one value of each type


def encode(image: Image.Image, file_format: str, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


@pytest.mark.parametrize("is_flat", [False, True])
@pytest.mark.parametrize("watermark", WATERMARKS)
@pytest.mark.parametrize(
    ("width", "height"), [(1024, 1024), (256, 256), (1792, 1024), (1024, 3072), (3840, 2160)]
)
def test_reads_what_was_painted(watermark: Watermark, width: int, height: int, *, is_flat: bool) -> None:
    file = make(watermark, width=width, height=height, is_flat=is_flat)

    assert read_watermark(file) == watermark


@pytest.mark.parametrize("watermark", WATERMARKS)
@pytest.mark.parametrize("is_transparent", [False, True])
@pytest.mark.parametrize(("file_format", "quality"), [("JPEG", 40), ("WEBP", 30), ("PNG", 0)])
def test_survives_a_lanczos_resize_to_256_and_encoding(
    watermark: Watermark, file_format: str, quality: int, *, is_transparent: bool
) -> None:
    image = Image.open(io.BytesIO(make(watermark, is_transparent=is_transparent))).convert("RGB")
    small = image.resize((256, 256), Image.Resampling.LANCZOS)

    file = encode(small, file_format, quality=quality)

    assert read_watermark(file) == watermark


@pytest.mark.parametrize("output_format", ["jpeg", "webp"])
def test_survives_the_worst_compression(output_format: str) -> None:
    file = make(output_format=output_format, output_compression=0)

    assert read_watermark(file) == WATERMARKS[2]


def test_survives_a_change_of_shape() -> None:
    image = Image.open(io.BytesIO(make())).convert("RGB").resize((1792, 512), Image.Resampling.BICUBIC)

    assert read_watermark(encode(image, "JPEG", quality=80)) == WATERMARKS[2]


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"no image",
        make()[:2000],
        encode(Image.new("RGB", (64, 64), "white"), "PNG"),
        encode(Image.new("L", (512, 512)), "PNG"),
        encode(Image.open(io.BytesIO(make())).transpose(Image.Transpose.FLIP_LEFT_RIGHT), "PNG"),
    ],
    ids=["empty", "text", "cut", "white", "black", "mirrored"],
)
def test_says_when_there_is_none(file: bytes) -> None:
    with pytest.raises(WatermarkUnreadable):
        read_watermark(file)


def test_equal_images_have_equal_bytes_and_others_do_not() -> None:
    assert make() == make()
    assert make(WATERMARKS[0]) != make(WATERMARKS[1])


@pytest.mark.parametrize(
    "prompt", ["", "\n", "红色的狐狸", "x" * 32_000, "\ud800"], ids=["empty", "line", "han", "long", "lone"]
)
def test_any_prompt_can_be_painted(prompt: str) -> None:
    assert read_watermark(make(prompt=prompt)) == WATERMARKS[2]
