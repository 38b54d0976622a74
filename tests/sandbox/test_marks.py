"""Marks stay readable through everything a gateway may do to a picture, except cutting."""

import io

import pytest
from PIL import Image

from service.sandbox.marks import Mark, MarkUnreadable, order_hash, read_mark
from service.sandbox.painter import Picture, paint

ORDER = {"model": "gpt-image-2", "prompt": "a cat", "size": "1024x1024"}
MARKS = [
    Mark(order_hash="0" * 16, serial=0),
    Mark(order_hash="f" * 16, serial=2**32 - 1),
    Mark(order_hash=order_hash(ORDER), serial=4711),
]


def make(mark: Mark = MARKS[2], **changes: object) -> bytes:
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
        "mark": mark,
    }
    return paint(Picture(**{**usual, **changes}))  # type: ignore[arg-type] # one value of each type


def encode(picture: Image.Image, file_format: str, **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()


@pytest.mark.parametrize("is_flat", [False, True])
@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize(
    ("width", "height"), [(1024, 1024), (256, 256), (1792, 1024), (1024, 3072), (3840, 2160)]
)
def test_reads_what_was_painted(mark: Mark, width: int, height: int, *, is_flat: bool) -> None:
    file = make(mark, width=width, height=height, is_flat=is_flat)

    assert read_mark(file) == mark


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("is_transparent", [False, True])
@pytest.mark.parametrize(("file_format", "quality"), [("JPEG", 40), ("WEBP", 30), ("PNG", 0)])
def test_survives_a_lanczos_resize_to_256_and_encoding(
    mark: Mark, file_format: str, quality: int, *, is_transparent: bool
) -> None:
    picture = Image.open(io.BytesIO(make(mark, is_transparent=is_transparent))).convert("RGB")
    small = picture.resize((256, 256), Image.Resampling.LANCZOS)

    file = encode(small, file_format, quality=quality)

    assert read_mark(file) == mark


@pytest.mark.parametrize("output_format", ["jpeg", "webp"])
def test_survives_the_worst_compression(output_format: str) -> None:
    file = make(output_format=output_format, output_compression=0)

    assert read_mark(file) == MARKS[2]


def test_survives_a_change_of_shape() -> None:
    picture = Image.open(io.BytesIO(make())).convert("RGB").resize((1792, 512), Image.Resampling.BICUBIC)

    assert read_mark(encode(picture, "JPEG", quality=80)) == MARKS[2]


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"no picture",
        make()[:2000],
        encode(Image.new("RGB", (64, 64), "white"), "PNG"),
        encode(Image.new("L", (512, 512)), "PNG"),
        encode(Image.open(io.BytesIO(make())).transpose(Image.Transpose.FLIP_LEFT_RIGHT), "PNG"),
    ],
    ids=["empty", "text", "cut", "white", "black", "mirrored"],
)
def test_says_when_there_is_none(file: bytes) -> None:
    with pytest.raises(MarkUnreadable):
        read_mark(file)


@pytest.mark.parametrize(
    "ignored", [{"n": 4}, {"user": "u"}, {"safety_identifier": "s"}, {"moderation": "low"}]
)
def test_the_hash_ignores_who_asks_and_for_how_many(ignored: dict[str, object]) -> None:
    assert order_hash(ORDER | ignored) == order_hash(ORDER)


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "gpt-image-2.6-flare"},
        {"prompt": "a dog"},
        {"size": "1536x1024"},
        {"quality": "high"},
        {"background": "opaque"},
        {"output_format": "webp"},
        {"output_compression": 3},
        {"style": "vivid"},
        {"complexity": "low"},
    ],
)
def test_the_hash_tells_pictures_apart(changed: dict[str, object]) -> None:
    assert order_hash(ORDER | changed) != order_hash(ORDER)


def test_the_hash_does_not_depend_on_order_or_nulls() -> None:
    reordered = {name: ORDER[name] for name in reversed(ORDER)}

    assert order_hash(reordered | {"quality": None}) == order_hash(ORDER)
    assert len(order_hash(ORDER)) == 16


def test_equal_pictures_have_equal_bytes_and_others_do_not() -> None:
    assert make() == make()
    assert make(MARKS[0]) != make(MARKS[1])


@pytest.mark.parametrize(
    "prompt", ["", "\n", "红色的狐狸", "x" * 32_000, "\ud800"], ids=["empty", "line", "han", "long", "lone"]
)
def test_any_prompt_can_be_painted(prompt: str) -> None:
    assert read_mark(make(prompt=prompt)) == MARKS[2]
