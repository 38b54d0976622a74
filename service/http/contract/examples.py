"""Hold examples: each request works as it stands, and `/docs` sends the first of each operation.

Files of a form are in base64 here, as JSON has no bytes; `web/docs/main.js` and `tests/contract/` send them as files.

How to add one: a row under the id of its operation; `tests/contract/test_examples.py` sends it to a gateway.
"""

import base64
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

_MODEL = "gpt-image-2.6-flare"
_PROMPT = "a white lighthouse on a cliff at dusk, watercolour"


def _file(name: str) -> str:
    return base64.b64encode((files(__package__) / "images" / name).read_bytes()).decode()


_LIGHTHOUSE = _file("lighthouse.png")
_SKY = _file("sky-mask.png")

_QUICK = ("A quick image", {"model": _MODEL, "prompt": _PROMPT, "size": "1024x1024", "quality": "low"})
_STAGES = (
    "An image in three stages",
    {"model": _MODEL, "prompt": _PROMPT, "quality": "low", "partial_images": 2},
)
_EDIT = {
    "image": [_LIGHTHOUSE],
    "prompt": "Let it snow on the cliff.",
    "model": _MODEL,
    "size": "1024x1024",
    "quality": "low",
}

BODIES: Mapping[str, tuple[tuple[str, Mapping[str, Any]], ...]] = {
    "createImage": (
        _QUICK,
        (
            "Code for DALL·E as it ever was",
            {
                "model": "dall-e-3",
                "prompt": _PROMPT,
                "n": 1,
                "size": "1792x1024",
                "quality": "hd",
                "style": "natural",
                "response_format": "url",
            },
        ),
        (
            "Two small files without a background",
            {
                "model": _MODEL,
                "prompt": "an icon of a lighthouse",
                "n": 2,
                "quality": "low",
                "background": "transparent",
                "output_format": "webp",
                "output_compression": 80,
                "user": "anna",
            },
        ),
    ),
    "createImageStream": (
        _STAGES,
        (
            "Two images of DALL·E, each shown once it is made",
            {"model": "dall-e-3", "prompt": _PROMPT, "n": 2},
        ),
    ),
    "editImage": (
        ("A change to the whole image", _EDIT),
        (
            "A change where the mask is transparent",
            {**_EDIT, "prompt": "Let a comet cross the sky.", "mask": _SKY, "input_fidelity": "high"}
            | {"model": "gpt-image-1.5"},
        ),
        (
            "One image from two",
            {**_EDIT, "image": [_LIGHTHOUSE, _LIGHTHOUSE], "prompt": "Show two lighthouses."},
        ),
    ),
    "editImageStream": (("An edit in two stages", {**_EDIT, "partial_images": 1}),),
    "createImageVariation": (
        ("Two variations", {"image": _LIGHTHOUSE, "model": "dall-e-2", "n": 2, "size": "256x256"}),
    ),
    "createImageVariationStream": (
        (
            "Two variations, each shown once it is made",
            {"image": _LIGHTHOUSE, "model": "dall-e-2", "n": 2, "size": "512x512"},
        ),
    ),
    "estimateImages": (
        ("Four images of DALL·E", {"model": "dall-e-3", "prompt": _PROMPT, "n": 4, "quality": "hd"}),
        (
            "An edit of two images",
            {"operation": "edit", "model": _MODEL, "inputs": 2, "size": "1024x1024", "quality": "low"},
        ),
        ("A variation", {"operation": "vary", "model": "dall-e-2"}),
    ),
    "generateImage": (("The oldest order", {"prompt": "a white siamese cat"}),),
    "adminCreateKey": (
        ("A key for a person", {"team": "shop", "user": "anna"}),
        (
            "A key for a service with limits of its own, until 2030",
            {
                "team": "shop",
                "user": "checkout",
                "role": "service",
                "policy": "careful",
                "expires_at": 1_893_456_000,
            },
        ),
    ),
    "adminPutTeam": (
        ("Limits for a team and for each of its users", {"policy": "careful", "user_policy": "careful"}),
        ("Reopen a closed team", {"closed": False}),
    ),
    "adminPutPolicy": (
        (
            "Ten images a minute, $25,000 a month",
            {
                "images_per_min": 10,
                "budget_per_month_microusd": 25_000_000_000,
                "models": [_MODEL, "dall-e-3"],
                "max_n": 4,
                "max_size": "1792x1024",
                "cache_scope": "team",
            },
        ),
    ),
}
"""For each operation, the summary and the body of each example."""

PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "getImageFile": {
        "name": f"{'4f' * 32}.png",
        "t": "shop",
        "exp": 1_893_456_000,
        "sig": "gqPHCFAgHk7Nbe0KoYBYFsCsXa5pSrvJ0AeFvkXrDcM",
    },
    "deleteImageFile": {"name": f"{'4f' * 32}.png"},
    "getImageInfo": {"name": f"{'4f' * 32}.png"},
    "getModel": {"model": "dall-e-3"},
    "adminRevokeKey": {"team": "shop", "key_id": "key_5f0c2d9a1b7e4c38"},
    "adminListKeys": {"team": "shop"},
    "adminPutTeam": {"name": "shop"},
    "adminPutPolicy": {"name": "careful"},
    "adminRemovePolicy": {"name": "careful"},
    "adminGetUsage": {"team": "shop", "group": "model", "format": "json"},
    "adminErasePerson": {"user": "anna"},
    "adminGetAudit": {"limit": 100},
    "adminGetCacheStats": {"team": "shop"},
    "adminPurgeCache": {"team": "shop", "older_than_s": 86_400, "dry_run": True},
    "getReadiness": {"verbose": True},
}
"""For each operation, examples of parameters; names of images, links and key ids are those of a gateway."""

ANSWERS: Mapping[str, Any] = {
    "ImagesResponse": {
        "created": 1_796_040_000,
        "data": [{"b64_json": _LIGHTHOUSE}],
        "background": "opaque",
        "output_format": "png",
        "quality": "low",
        "size": "1024x1024",
        "usage": {
            "total_tokens": 208,
            "input_tokens": 12,
            "output_tokens": 196,
            "input_tokens_details": {"text_tokens": 12, "image_tokens": 0},
        },
    },
    "ErrorResponse": {
        "error": {
            "message": "Invalid 'n': integer above maximum value. Expected a value <= 10, but got 11 instead.",
            "type": "invalid_request_error",
            "param": "n",
            "code": "integer_above_max_value",
        }
    },
    "Model": {
        "id": "dall-e-3",
        "object": "model",
        "created": 1_699_228_800,
        "owned_by": "openai",
        "shutdown_date": "2026-05-12",
        "answered_by": _MODEL,
        "operations": ["generate", "edit"],
        "max_n": 10,
        "max_prompt_chars": 32_000,
        "sizes": {
            "fixed": ["1024x1024", "1792x1024", "1024x1792", "auto"],
            "default": "1024x1024",
            "free": {
                "multiple": 16,
                "max_ratio": 3,
                "max_edge": 3840,
                "min_pixels": 655_360,
                "max_pixels": 8_294_400,
            },
        },
        "parameters": {
            "style": {"values": ["vivid", "natural"], "default": "vivid", "operations": ["generate"]},
            "output_compression": {
                "minimum": 0,
                "maximum": 100,
                "default": 100,
                "operations": ["generate", "edit"],
            },
            "stream": {"kind": "boolean", "operations": ["generate", "edit"]},
        },
        "inputs": {
            "formats": ["png", "jpeg", "webp"],
            "max_bytes": 52_428_800,
            "max_pixels": 40_000_000,
            "max_images": 16,
            "mask_max_bytes": 4_194_304,
            "square": False,
            "needs_alpha": False,
            "takes_markup": False,
        },
    },
    "CreatedKey": {
        "object": "api_key",
        "id": "key_5f0c2d9a1b7e4c38",
        "team": "shop",
        "user": "anna",
        "role": "user",
        "policy": None,
        "hint": "ig_8Zk0…x3Qw",
        "created_at": 1_796_040_000,
        "expires_at": None,
        "secret_listed": True,
        "key": "ig_8Zk0_an_example_of_a_key_that_opens_nothing_x3Qw",
    },
}
"""An example of each component that callers look at first."""
