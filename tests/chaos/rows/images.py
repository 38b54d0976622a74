"""Photos, masks and finished images that a careless finish would turn, blacken or shrink."""

import io
from typing import Any

import pybase64
from PIL import Image, ImageChops, ImageCms, ImageOps, ImageStat

from tests.chaos.finding import Finding
from tests.chaos.forms import bytes_in, edit, file_of, image_in, noise
from tests.chaos.ground import Ground, memory_mb
from tests.chaos.provider import USAGE, Call, Provider
from tests.chaos.row import Rows
from tests.processes import Gateway

ROWS = Rows([])
_OLD: dict[str, Any] = {"model": "dall-e-2", "response_format": "b64_json"}
"""A model whose masks are kept by the gateway itself, and whose small sizes it resamples."""
_TURNED = 6
"""The orientation that a phone writes when it is held upright."""
_KEY_GREY = 30_000


def _painting(file: bytes) -> Any:
    async def script(call: Call) -> None:
        call.paid = 1
        image = pybase64.b64encode_as_string(file)
        await call.answer(200, {"created": 1, "data": [{"b64_json": image}], "usage": USAGE})

    return script


def _difference(one: Image.Image, other: Image.Image) -> float:
    """Return the mean difference of two images' colours, from 0 to 255."""
    if one.size != other.size:
        return 255
    means = ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean
    return sum(means) / len(means)


@ROWS.add(
    "phone-photos",
    "edits of a JPEG that its Exif turns by 90 degrees, with a mask of the size that is shown, and of the stored one",
    covers="P10",
)
async def phone_photos(ground: Ground, finding: Finding) -> None:
    provider = await ground.provider(_painting(file_of(Image.new("RGB", (1024, 1024), "red"))))
    gateway = await ground.gateway(provider)
    stored = Image.new("RGB", (512, 384), "white")
    stored.paste((0, 0, 200), (0, 0, 512, 100))
    exif = Image.Exif()
    exif[0x0112] = _TURNED
    photo = file_of(stored, "JPEG", exif=exif, quality=95)
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(photo)))
    for name, size in (("as shown", (384, 512)), ("as stored", (512, 384))):
        mask = Image.new("RGBA", size, (0, 0, 0, 255))
        mask.putpixel((0, 0), (0, 0, 0, 0))
        answer = await edit(ground, gateway.url, photo, mask=file_of(mask), **_OLD, size="512x512")
        finding.equal(f"a mask of the size {name}", answer.status, 200)
        if answer.status == 200:
            image = image_in(answer)
            upright, lying = (ImageOps.fit(each, (512, 512)) for each in (shown, stored))
            figures = (_difference(image, upright), _difference(image, lying))
            finding.is_true(
                f"it is upright (unlike by {figures[0]:.0f}, lying {figures[1]:.0f} of 255)",
                is_so=figures[0] < figures[1] / 4,
            )


@ROWS.add(
    "finished-images",
    "a transparent background beside a mask; JPEG of quality 95 and 20, resampled; a colour profile; a 16-bit grey mask",
    covers="P12",
)
async def finished_images(ground: Ground, finding: Finding) -> None:
    provider = await ground.provider()
    gateway = await ground.gateway(provider)
    source = noise(256, seed=3)
    half = Image.new("RGBA", (256, 256), (0, 0, 0, 255))
    half.paste((0, 0, 0, 0), (128, 0, 256, 256))

    see_through = Image.new("RGBA", (1024, 1024), (0, 255, 0, 0))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    provider.script = _painting(file_of(see_through, icc_profile=profile))
    answer = await edit(
        ground,
        gateway.url,
        file_of(source, icc_profile=profile),
        mask=file_of(half),
        **_OLD,
        size="256x256",
        background="transparent",
    )
    finding.is_true("the colour profile is kept beside a mask", is_so="icc_profile" in image_in(answer).info)
    image = image_in(answer).convert("RGBA")
    alpha = image.getchannel("A")
    finding.equal(
        "alpha of what was painted, and of what is kept",
        (alpha.getpixel((200, 99)), alpha.getpixel((40, 99))),
        (0, 255),
    )

    provider.script = _painting(file_of(noise(1024, seed=4), "JPEG", quality=95))
    sizes = []
    for compression in (95, 20):
        answer = await ground.order(
            gateway.url,
            **_OLD,
            size="512x512",
            output_format="jpeg",
            output_compression=compression,
        )
        sizes.append(len(bytes_in(answer)))
    finding.note(f"JPEG of {sizes[0]} and {sizes[1]} bytes")
    finding.at_least("quality 95, times the bytes of 20", sizes[0] / sizes[1], 2.0)

    provider.script = _painting(file_of(noise(1024, seed=5), icc_profile=profile))
    answer = await ground.order(gateway.url, **_OLD, size="256x256")
    finding.is_true("the colour profile is kept", is_so="icc_profile" in image_in(answer).info)

    await _mask_deeply(ground, finding, gateway, provider)


async def _mask_deeply(ground: Ground, finding: Finding, gateway: Gateway, provider: Provider) -> None:
    """Edit with a mask whose transparent grey has 16 bits."""
    # Pillow pastes one byte of two.
    row = (1000).to_bytes(2, "little") * 128 + _KEY_GREY.to_bytes(2, "little") * 128
    source, grey = noise(256, seed=3), Image.frombytes("I;16", (256, 256), row * 256)
    provider.script = _painting(file_of(Image.new("RGB", (1024, 1024), "red")))
    answer = await edit(
        ground,
        gateway.url,
        file_of(source),
        mask=file_of(grey, transparency=_KEY_GREY),
        **_OLD,
        size="256x256",
    )
    if answer.status == 200:
        image = image_in(answer).convert("RGB")
        finding.equal("a 16-bit mask opens its half", image.getpixel((200, 99)), (255, 0, 0))
        finding.equal("and keeps the other", image.getpixel((40, 99)), source.getpixel((40, 99)))
    else:
        finding.equal("a 16-bit mask", answer.code, "200")


@ROWS.add(
    "large-images",
    "masks and images of 40 megapixels, as the limits allow: made, and the serving process stays small",
    covers="P12 A8",
)
async def large_images(ground: Ground, finding: Finding) -> None:
    provider = await ground.provider(_painting(file_of(Image.new("RGB", (1024, 1024), "red"))))
    gateway = await ground.gateway(provider)
    width = 2000 if ground.is_short else 6000
    flat = Image.new("RGB", (width, width), (10, 200, 30))
    mask = Image.new("RGBA", flat.size, (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (0, 0, width // 2, width))
    answer = await edit(ground, gateway.url, file_of(flat), mask=file_of(mask), **_OLD, size="1024x1024")
    finding.equal("answer", answer.code, "200")
    finding.at_most("MB", memory_mb(gateway), 400)
    image = image_in(answer).convert("RGB")
    finding.equal("kept", image.getpixel((900, 500)), (10, 200, 30))
    finding.equal("painted", image.getpixel((100, 500)), (255, 0, 0))
