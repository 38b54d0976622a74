from dataclasses import replace
from typing import Any

import pytest

from service.domain.pricing import counts_tokens, estimate_image, estimate_sent, price_usage, weigh_image
from tests.fakes.values import USAGE, a_catalog, a_sent_order


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
        # More than all of them: a count of another kind.
        ({"input_tokens": 10, "output_tokens": 0, "input_tokens_details": {"image_tokens": 1000}}, 80),
        ({"input_tokens": 10}, None),
        ({"output_tokens": 10}, None),
        ({"input_tokens": "10", "output_tokens": 10}, None),
        ({}, None),
    ],
)
def test_tokens_have_their_price(usage: dict[str, Any], microusd: int | None) -> None:
    assert price_usage(a_catalog().models["gpt-image-2"], usage) == microusd


@pytest.mark.parametrize(
    ("model", "details", "microusd"),
    [
        ("gpt-image-1.5", {"image_tokens": 60, "text_tokens": 40}, 60 * 32 + 40 * 10),
        ("gpt-image-1.5", {"image_tokens": 100}, 100 * 32),
        ("gpt-image-1.5", {"text_tokens": 1000}, 100 * 10),
        ("gpt-image-1.5", {"text_tokens": None}, 100 * 32),
        ("gpt-image-1.5", None, 100 * 32),
        # No price of its own is published for text: the image's is the higher one.
        ("gpt-image-2", {"image_tokens": 60, "text_tokens": 40}, 100 * 30),
    ],
)
def test_text_output_has_its_own_price(model: str, details: dict[str, Any] | None, microusd: int) -> None:
    usage = {"input_tokens": 0, "output_tokens": 100, "output_tokens_details": details}

    assert price_usage(a_catalog().models[model], usage) == microusd


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        (USAGE, True),
        ({"input_tokens": 0, "output_tokens": 1}, True),
        ({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, False),
        ({"input_tokens": 50, "output_tokens": 0}, False),
        ({"output_tokens": 50}, False),
        ({"input_tokens": 50}, False),
        ({}, False),
        (None, False),
    ],
)
def test_usage_of_zeros_counts_nothing(usage: dict[str, Any] | None, counts: bool) -> None:
    assert counts_tokens(usage) is counts


def test_stages_cost_tokens_of_their_own() -> None:
    sent = a_sent_order(parameters={"quality": "low", "size": "1024x1024"})
    bare = estimate_sent(sent)
    assert bare is not None

    assert estimate_sent(replace(sent, partial_images=3)) == bare + 3 * 100 * 30


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
