"""Orders as the page knows them, hard to write as code, and the plain request that each of them means."""

import io
import os
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import uuid4

import httpx
from PIL import Image

NASTY = (
    '@"It\'s" 50 % of $HOME, `id` $(id) ${x} #{y} {0} %s !! \\n \\\\ \\u0041 """ \'\'\'\n'
    "第二行 龙🐉 café\t\u2028 */ // <b>&amp; ;type=image/png\n\n  "
)
"""Every character with a meaning in a shell or a language, and none with a meaning in a prompt."""

FLARE = "gpt-image-2.6-flare"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order; *images* and *mask* are files in memory."""

    operation: str
    model: str
    prompt: str = ""
    n: int = 1
    parameters: dict[str, Any] = field(default_factory=dict)
    images: tuple[bytes, ...] = ()
    mask: bytes | None = None

    def described(self) -> dict[str, Any]:
        """Return what `write.mjs` reads. Fresh, so that each call reaches the provider."""
        return {
            "operation": self.operation,
            "model": self.model,
            "prompt": self.prompt,
            "n": self.n,
            "parameters": self.parameters,
            "images": [_type_of(content) for content in self.images],
            "mask": self.mask and _type_of(self.mask),
            "fresh": True,
        }

    def contents(self) -> list[bytes]:
        """Return the files in the order in which `write.mjs` names them."""
        return [*self.images, *([self.mask] if self.mask else [])]

    def post(self, client: httpx.Client) -> httpx.Response:
        """Order by plain HTTP."""
        fields = {"model": self.model, "n": self.n, **self.parameters, "response_format": "url"}
        if self.operation != "vary":
            fields["prompt"] = self.prompt
        fresh = {"cache-control": "no-cache"}
        if self.operation == "generate":
            return client.post("/v1/images/generations", json=fields, headers=fresh)
        files = [("image[]", ("a", content)) for content in self.images]
        if self.mask:
            files.append(("mask", ("m", self.mask)))
        path = {"edit": "/v1/images/edits", "vary": "/v1/images/variations"}[self.operation]
        return client.post(path, data=fields, files=files, headers=fresh)


@cache
def orders() -> dict[str, Order]:
    """Return the orders by name; prompts and inputs are those of no other session."""
    mark = uuid4().hex
    every_parameter = {
        "size": "1536x1024",
        "quality": "low",
        "background": "opaque",
        "output_format": "webp",
        "output_compression": 80,
        "moderation": "low",
        "complexity": "low",
    }
    return {
        "short": Order(operation="generate", model=FLARE, prompt=f"a red fox {mark}"),
        "nasty": Order(
            operation="generate", model=FLARE, prompt=f"{NASTY}{mark}  ", n=2, parameters=every_parameter
        ),
        "bridged": Order(
            operation="generate",
            model="dall-e-3",
            prompt=f"戴帽子的狐狸\n{mark}",
            parameters={"size": "1792x1024", "quality": "hd", "style": "natural"},
        ),
        "longest": Order(operation="generate", model=FLARE, prompt=f"{mark}{'龙' * 31_900}"),
        "edit": Order(
            operation="edit",
            model=FLARE,
            prompt=f"{NASTY}{mark}",
            parameters={"quality": "low", "complexity": "low", "size": "1024x1024"},
            images=(_draw("PNG"), _draw("JPEG"), _draw("WEBP")),
            mask=_draw_mask(),
        ),
        "vary": Order(
            operation="vary",
            model="dall-e-2",
            n=2,
            parameters={"size": "512x512"},
            images=(_draw("PNG"),),
        ),
    }


def _draw(kind: str) -> bytes:
    image = Image.frombytes("RGBA", (64, 64), os.urandom(64 * 64 * 4))
    return _encode(image.convert("RGB") if kind == "JPEG" else image, kind)


def _draw_mask() -> bytes:
    mask = Image.new("RGBA", (64, 64), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (16, 16, 48, 48))
    return _encode(mask, "PNG")


def _encode(image: Image.Image, kind: str) -> bytes:
    output = io.BytesIO()
    image.save(output, kind)
    return output.getvalue()


def _type_of(content: bytes) -> str:
    with Image.open(io.BytesIO(content)) as image:
        return Image.MIME[image.format or ""]
