"""The order hash covers everything that shapes an image, and nothing else."""

import pytest

from service.sandbox.rules.order_hash import order_hash

ORDER = {"model": "gpt-image-2", "prompt": "a cat", "size": "1024x1024"}


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
def test_the_hash_tells_images_apart(changed: dict[str, object]) -> None:
    assert order_hash(ORDER | changed) != order_hash(ORDER)


def test_the_hash_does_not_depend_on_order_or_nulls() -> None:
    reordered = {name: ORDER[name] for name in reversed(ORDER)}

    assert order_hash(reordered | {"quality": None}) == order_hash(ORDER)
    assert len(order_hash(ORDER)) == 16


def test_the_hash_covers_each_image_and_its_role() -> None:
    sent = {"model": "gpt-image-2", "prompt": "a boat"}
    variants = [
        {},
        {"image": ["a"]},
        {"image": ["b"]},
        {"image": ["a", "b"]},
        {"image": ["b", "a"]},
        {"image": ["a"], "mask": ["b"]},
        {"image": ["a"], "markup": ["b"]},
    ]

    hashes = {order_hash(sent, variant) for variant in variants}

    assert len(hashes) == len(variants)
    assert order_hash(sent, {"image": ["a"], "mask": []}) == order_hash(sent, {"image": ["a"]})
