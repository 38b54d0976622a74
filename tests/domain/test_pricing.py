from dataclasses import replace
from typing import Any

import pytest

from service.domain.pricing import estimate_image, price_usage, weigh_image
from tests.fakes.values import USAGE, a_catalog


@pytest.mark.parametrize(
    ("usage", "microusd"),
    [
        (USAGE, 50 * 5 + 1756 * 30),
        ({"input_tokens": 0, "output_tokens": 1}, 30),
        (
            {"input_tokens": 10, "output_tokens": 0, "input_tokens_details": {"image_tokens": 4}},
            6 * 5 + 4 * 8,
        ),
        ({"input_tokens": 10, "output_tokens": 1, "input_tokens_details": None}, 80),
        ({"input_tokens": 10, "output_tokens": 1, "input_tokens_details": {"image_tokens": None}}, 80),
        ({"input_tokens": 10}, None),
        ({"output_tokens": 10}, None),
        ({"input_tokens": "10", "output_tokens": 10}, None),
        ({}, None),
    ],
)
def test_tokens_have_their_price(usage: dict[str, Any], microusd: int | None) -> None:
    assert price_usage(a_catalog().models["gpt-image-2"], usage) == microusd


def test_fractions_of_a_micro_dollar_are_rounded_up() -> None:
    mini = a_catalog().models["gpt-image-1-mini"]
    usage = {"input_tokens": 1, "output_tokens": 0, "input_tokens_details": {"image_tokens": 1}}

    assert price_usage(mini, usage) == 3


def test_a_model_without_a_price_costs_an_unknown_sum() -> None:
    known = a_catalog().models["gpt-image-2"]
    model = replace(known, costs=replace(known.costs, price=None))

    assert price_usage(model, USAGE) is None
    assert estimate_image(model, {"quality": "low"}) is None


@pytest.mark.parametrize(
    ("name", "parameters", "microusd"),
    [
        ("gpt-image-2", {"quality": "medium", "size": "1024x1024"}, 1756 * 30),
        ("gpt-image-2", {"quality": "low"}, 196 * 30 * 3 // 2),
        ("gpt-image-2", {}, 7024 * 30 * 3 // 2),
        ("gpt-image-2", {"quality": "low", "size": "auto"}, 196 * 30 * 3 // 2),
        ("gpt-image-2", {"quality": "low", "size": "2048x2048"}, 4 * 196 * 30),
        ("gpt-image-2", {"quality": "low", "size": "1024x640"}, 196 * 30),
        ("gpt-image-2", {"quality": "low", "size": "1040x1040"}, 6066),
        ("gpt-image-2.6-flare", {"quality": "max"}, 28096 * 30 * 3 // 2),
        ("dall-e-3", {"size": "1024x1024"}, 40_000),
        ("dall-e-3", {"quality": "hd", "size": "1792x1024"}, 120_000),
        ("dall-e-2", {"size": "256x256", "response_format": "b64_json"}, 16_000),
        ("dall-e-2", {"size": "1792x1024"}, None),
    ],
)
def test_an_image_is_estimated_by_quality_and_size(
    name: str, parameters: dict[str, Any], microusd: int | None
) -> None:
    assert estimate_image(a_catalog().models[name], parameters) == microusd


@pytest.mark.parametrize(
    ("weights", "parameters", "weight"),
    [
        ({}, {"quality": "high"}, 1),
        ({}, {}, 1),
        ({"high": 4}, {"quality": "high"}, 4),
        ({"high": 4}, {"quality": "low"}, 1),
        ({"high": 4, "default": 2}, {"quality": "low"}, 2),
        ({"high": 4, "default": 2}, {}, 2),
        ({"high": 4, "auto": 3, "default": 2}, {}, 3),
        ({"high": 4, "auto": 3}, {"quality": "auto"}, 3),
    ],
)
def test_an_image_weighs_by_its_quality(
    weights: dict[str, int], parameters: dict[str, Any], weight: int
) -> None:
    known = a_catalog().models["gpt-image-2"]
    model = replace(known, costs=replace(known.costs, weights=weights))

    assert weigh_image(model, parameters) == weight


def test_prompts_and_inputs_have_a_price() -> None:
    model = a_catalog().models["gpt-image-2"]
    parameters = {"quality": "low", "size": "1024x1024"}
    bare = estimate_image(model, parameters)
    assert bare is not None

    assert estimate_image(model, parameters, prompt_bytes=3000) == bare + 1000 * 5
    assert estimate_image(model, parameters, inputs=2) == bare + 2 * 6240 * 8
