"""Edits: forms and JSON, the images that go in and the one that comes out."""

import io
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from PIL import ExifTags, Image, ImageChops

from service.sandbox.painting.watermark import read_watermark
from service.sandbox.rules.order_hash import order_hash
from tests.sandbox.image_files import digest, make_file, open_image, read_files
from tests.sandbox.process import FormFile, SandboxHandle

PNG, MASK = make_file(), make_file(colour="#00000000")
JPEG, WEBP = make_file(mode="RGB", file_format="JPEG"), make_file(file_format="WEBP", size=(40, 30))


async def test_answers_like_a_generation_and_counts_the_images_sent(sandbox: SandboxHandle) -> None:
    answer = await sandbox.edit(PNG, prompt="twelve chars", safety_identifier="s")

    body = answer.json()
    (file,) = read_files(answer)
    assert open_image(file).size == (1024, 1024)
    assert (body["background"], body["output_format"], body["quality"]) == ("opaque", "png", "low")
    assert (body["size"], body["safety_identifier"]) == ("1024x1024", "s")
    assert body["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"image_tokens": 4, "text_tokens": 3},
        "output_tokens": 196,
        "output_tokens_details": {"image_tokens": 196, "text_tokens": 0},
        "total_tokens": 203,
    }


async def test_the_journal_describes_every_file_and_keeps_none(sandbox: SandboxHandle) -> None:
    files: list[FormFile] = [
        ("image[]", ("one.png", PNG, "image/png")),
        ("image[]", ("two.jpg", JPEG, "image/jpeg")),
        ("mask", ("mask.png", MASK, "image/png; charset=binary")),
    ]

    answer = await sandbox.post_form("/v1/images/edits", files, model="gpt-image-2", prompt="a boat", n=2)

    assert answer.status_code == 200
    (entry,) = await sandbox.journal()
    assert entry["parameters"] == {"model": "gpt-image-2", "prompt": "a boat", "n": 2}
    assert (entry["path"], entry["billed"], len(entry["images"])) == ("/v1/images/edits", True, 2)
    assert [tuple(one.values()) for one in entry["inputs"]] == [
        ("image[]", digest(PNG), len(PNG), "image/png", "png", 64, 48, None, None),
        ("image[]", digest(JPEG), len(JPEG), "image/jpeg", "jpeg", 64, 48, None, None),
        ("mask", digest(MASK), len(MASK), "image/png; charset=binary", "png", 64, 48, 1.0, 0.0),
    ]
    assert list(entry["inputs"][0]) == [
        "field",
        "sha256",
        "size_bytes",
        "content_type",
        "format",
        "width",
        "height",
        "clear_share",
        "white_share",
    ]


async def test_the_mark_answers_for_the_images_sent_too(sandbox: SandboxHandle) -> None:
    answer = await sandbox.edit(
        PNG, WEBP, mask=MASK, quality="low", output_format="webp", output_compression=80
    )

    (file,) = read_files(answer)
    (entry,) = await sandbox.journal()
    sent = {
        "model": "gpt-image-2",
        "prompt": "add a red boat",
        "quality": "low",
        "output_format": "webp",
        "output_compression": 80,
    }
    expected = order_hash(sent, {"image": [digest(PNG), digest(WEBP)], "mask": [digest(MASK)]})
    assert read_watermark(file).order_hash == expected == entry["images"][0]["order_hash"]


@pytest.mark.parametrize("paint", ["full", "flat"])
async def test_repaints_the_whole_image_whatever_the_mask_says(sandbox: SandboxHandle, paint: str) -> None:
    """A gateway that promises to leave the rest alone has to composite, and this shows whether it did."""
    await sandbox.behave(paint=paint)
    original = read_files(await sandbox.generate(prompt="a house by the sea"))[0]
    opaque = make_file(size=(1024, 1024), colour="#000000ff")

    edited = read_files(await sandbox.edit(original, mask=opaque, prompt="the same in winter"))[0]

    before, after = open_image(original).convert("RGB"), open_image(edited).convert("RGB")
    changed = ImageChops.difference(before, after).convert("L").point(lambda value: 255 * (value > 0))
    assert changed.histogram()[255] > 0.9 * 1024 * 1024


@pytest.mark.parametrize("count", [1, 16])
@pytest.mark.parametrize("field", ["image", "image[]"])
async def test_takes_either_name_once_or_many_times(sandbox: SandboxHandle, field: str, count: int) -> None:
    await sandbox.behave(paint="flat")
    files: list[FormFile] = [(field, ("a.png", PNG, "image/png"))] * count

    answer = await sandbox.post_form("/v1/images/edits", files, model="gpt-image-2", prompt="a boat")

    assert answer.status_code == 200
    (entry,) = await sandbox.journal()
    assert [one["field"] for one in entry["inputs"]] == [field] * count


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "gpt-image-1.5", "input_fidelity": "high"},
        {"model": "gpt-image-1-mini", "input_fidelity": "low"},
        {"model": "gpt-image-2.6-flare", "complexity": "high"},
        {"model": "gpt-image-2.5-flare", "quality": "max", "size": "1536x864", "background": "transparent"},
        {"n": 2, "output_format": "jpeg", "output_compression": 0, "user": "u", "stream": False},
    ],
)
async def test_takes_every_parameter_of_the_form(sandbox: SandboxHandle, fields: dict[str, Any]) -> None:
    await sandbox.behave(paint="flat")

    answer = await sandbox.edit(PNG, **fields)

    assert answer.status_code == 200, answer.text


async def test_takes_markup_instead_of_a_mask(sandbox: SandboxHandle) -> None:
    """Its size is that of the image as it is meant to be seen: this one lies on its side in the file."""
    lying = make_lying_jpeg()
    files: list[FormFile] = [
        ("image", ("a.jpg", lying, "image/jpeg")),
        ("markup", ("m.png", make_file(size=(48, 64)), "image/png")),
    ]

    answer = await sandbox.post_form(
        "/v1/images/edits", files, model="gpt-image-2.5-flare", prompt="a boat", size="1024x1024"
    )

    assert answer.status_code == 200, answer.text


async def test_files_may_come_before_text_and_without_a_length(sandbox: SandboxHandle) -> None:
    boundary = "openai-x"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n'
    body = head.encode() + b"Content-Type: image/png\r\n\r\n" + PNG + b"\r\n"
    for name, value in (("model", "gpt-image-2"), ("prompt", "ein rotes Boot, bitte schön")):
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    body += f"--{boundary}--\r\n".encode()

    async def send() -> AsyncGenerator[bytes]:
        for start in range(0, len(body), 100):
            yield body[start : start + 100]

    answer = await sandbox.client.post(
        "/v1/images/edits",
        content=send(),
        headers={"content-type": f"multipart/form-data; boundary={boundary}"},
    )

    assert answer.status_code == 200, answer.text
    (entry,) = await sandbox.journal()
    assert entry["prompt"] == "ein rotes Boot, bitte schön"
    assert entry["inputs"][0]["sha256"] == digest(PNG)


async def test_large_files_pass(sandbox: SandboxHandle) -> None:
    """Past a mebibyte they go through a file on disk."""
    large = make_noise(1100)

    answer = await sandbox.edit(large)

    assert answer.status_code == 200
    (entry,) = await sandbox.journal()
    assert (entry["inputs"][0]["sha256"], entry["inputs"][0]["size_bytes"]) == (digest(large), len(large))
    assert len(large) > 3 * 1024 * 1024


async def test_misbehaves_as_generations_do(sandbox: SandboxHandle) -> None:
    await sandbox.behave(
        failures=[{"status": 503}, {"status": 500, "after_painting": True}], rate_limit_images_per_min=1
    )

    answers = [await sandbox.edit(PNG) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [503, 500, 429]
    entries = await sandbox.journal()
    assert [entry["billed"] for entry in entries] == [False, True, False]
    assert [len(entry["inputs"]) for entry in entries] == [1, 1, 1]


async def test_variations_are_gone(sandbox: SandboxHandle) -> None:
    await sandbox.behave(failures=[{"status": 500}])

    answer = await sandbox.post_form("/v1/images/variations", [("image", ("a.png", PNG, "image/png"))], n=2)

    error = answer.json()["error"]
    assert (answer.status_code, set(error)) == (410, {"message", "type", "param", "code"})
    assert (error["type"], error["code"]) == ("invalid_request_error", None)
    (entry,) = await sandbox.journal()
    assert (entry["path"], entry["status"], entry["billed"]) == ("/v1/images/variations", 410, False)


def make_lying_jpeg() -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(file, "JPEG", exif=exif)
    return file.getvalue()


def make_noise(edge: int) -> bytes:
    file = io.BytesIO()
    bands = [Image.effect_noise((edge, edge), 80) for _ in range(3)]
    Image.merge("RGB", bands).save(file, "PNG", compress_level=1)
    return file.getvalue()
