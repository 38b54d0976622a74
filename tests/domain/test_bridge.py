"""The bridge, by examples and by a property over everything callers may ask of a bridged model."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.bridge import BRIDGE_VERSION, accepted_model, translate
from service.domain.catalog import Model, ParameterRule, is_size_allowed, parse_catalog, parse_size
from service.domain.errors import InvalidOrder
from service.domain.images import Finish, SentOrder
from service.domain.validation import check_order
from tests.fakes.values import a_catalog, an_order, builtin_models

TODAY = date(2026, 11, 20)
AFTER_ALL = date(2027, 1, 1)
BRIDGED = sorted(name for name, model in a_catalog().models.items() if model.bridge)
NATURAL = "Render this in a natural style"


def send(model: str, *, prompt: str = "A lighthouse", today: date = TODAY, **parameters: Any) -> SentOrder:
    return translate(a_catalog(), an_order(asked_model=model, prompt=prompt, parameters=parameters), today)


@pytest.mark.parametrize(
    ("model", "asked", "sent", "finish"),
    [
        ("dall-e-3", {}, {"quality": "medium", "size": "1024x1024"}, Finish(1024, 1024)),
        ("dall-e-3", {"quality": "standard"}, {"quality": "medium", "size": "1024x1024"}, Finish(1024, 1024)),
        ("dall-e-3", {"quality": "hd"}, {"quality": "high", "size": "1024x1024"}, Finish(1024, 1024)),
        (
            "dall-e-3",
            {"size": "1792x1024", "style": "vivid"},
            {"quality": "medium", "size": "1792x1024"},
            Finish(1792, 1024),
        ),
        ("dall-e-3", {"size": "1024x1792"}, {"quality": "medium", "size": "1024x1792"}, Finish(1024, 1792)),
        ("dall-e-3", {"size": "auto", "quality": "auto"}, {}, None),
        (
            "dall-e-3",
            {"quality": "low", "output_format": "webp", "size": "1536x1024"},
            {"quality": "low", "output_format": "webp", "size": "1536x1024"},
            Finish(1536, 1024),
        ),
        ("dall-e-2", {}, {"quality": "medium", "size": "1024x1024"}, Finish(1024, 1024)),
        ("dall-e-2", {"size": "256x256"}, {"quality": "medium", "size": "1024x1024"}, Finish(256, 256)),
        ("dall-e-2", {"size": "512x512"}, {"quality": "medium", "size": "1024x1024"}, Finish(512, 512)),
        ("gpt-image-1", {}, {}, None),
        ("gpt-image-1", {"size": "1024x1536"}, {"size": "1024x1536"}, Finish(1024, 1536)),
        ("gpt-image-1", {"quality": "xhigh"}, {"quality": "xhigh"}, None),
    ],
)
def test_orders_are_put_in_the_words_of_the_living_model(
    model: str, asked: Mapping[str, Any], sent: Mapping[str, Any], finish: Finish | None
) -> None:
    order = send(model, **asked)

    assert order.model == "gpt-image-2.6-flare"
    assert order.parameters == sent
    assert order.finish == finish
    assert order.bridge_version == BRIDGE_VERSION


def test_natural_becomes_words_after_the_prompt() -> None:
    natural = send("dall-e-3", style="natural")

    assert natural.prompt.startswith(f"A lighthouse\n\n{NATURAL}")
    assert send("dall-e-3", style="vivid").prompt == send("dall-e-3").prompt == "A lighthouse"


@pytest.mark.parametrize(
    ("model", "images_per_call"), [("dall-e-3", 1), ("dall-e-2", 10), ("gpt-image-1", 10)]
)
def test_the_asked_model_says_how_many_images_a_call_makes(model: str, images_per_call: int) -> None:
    assert send(model).images_per_call == images_per_call


@pytest.mark.parametrize(("asked", "expected"), [({}, "png"), ({"output_format": "jpeg"}, "jpeg")])
@pytest.mark.parametrize("model", ["dall-e-3", "gpt-image-2"])
def test_the_format_of_the_answer_is_known(model: str, asked: Mapping[str, Any], expected: str) -> None:
    assert send(model, **asked).output_format == expected


def test_words_put_after_the_prompt_count_against_the_targets_limit() -> None:
    suffix_length = len(send("dall-e-3", style="natural").prompt) - len("A lighthouse")
    longest = "x" * (32_000 - suffix_length)

    assert len(send("dall-e-3", prompt=longest, style="natural").prompt) == 32_000
    assert send("dall-e-3", prompt="x" * 32_000).prompt == "x" * 32_000
    with pytest.raises(InvalidOrder) as caught:
        send("dall-e-3", prompt=longest + "x", style="natural")
    assert (caught.value.param, caught.value.code) == ("prompt", "string_above_max_length")


def test_a_living_model_is_sent_as_asked() -> None:
    order = send("gpt-image-2", size="2048x2048", quality="low", background="opaque")

    assert order == SentOrder(
        model="gpt-image-2",
        prompt="A lighthouse",
        parameters={"size": "2048x2048", "quality": "low", "background": "opaque"},
        images_per_call=10,
        output_format="png",
    )


def test_naming_a_default_is_leaving_it_out() -> None:
    defaults: dict[str, Any] = {
        "size": "auto",
        "quality": "auto",
        "output_format": "png",
        "output_compression": 100,
    }

    assert send("gpt-image-2", **defaults) == send("gpt-image-2")
    assert send("gpt-image-1", **defaults) == send("gpt-image-1")
    assert send("dall-e-3", size="1024x1024", quality="standard", style="vivid") == send("dall-e-3")
    assert send("dall-e-2", size="1024x1024", quality="standard") == send("dall-e-2")


@pytest.mark.parametrize(
    ("today", "sent_model"),
    [(date(2026, 11, 30), "gpt-image-1.5"), (date(2026, 12, 1), "gpt-image-2.6-flare")],
)
def test_a_model_on_its_way_out_is_bridged_from_its_last_day_on(today: date, sent_model: str) -> None:
    order = send("gpt-image-1.5", today=today, quality="high")

    assert order.model == sent_model
    assert order.parameters == {"quality": "high"}


def test_what_only_the_target_takes_is_refused_before_the_bridge_opens() -> None:
    send("gpt-image-1.5", today=date(2026, 12, 1), size="2048x2048")

    with pytest.raises(InvalidOrder) as caught:
        send("gpt-image-1.5", today=date(2026, 11, 30), size="2048x2048")

    assert caught.value.param == "size"


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({}, {"size": "1024x1024"}),
        (
            {"size": "1792x1024", "quality": "hd", "style": "natural"},
            {"size": "1792x1024", "quality": "hd", "style": "natural"},
        ),
    ],
)
def test_without_its_bridge_a_model_is_sent_under_its_own_name(
    asked: Mapping[str, Any], sent: Mapping[str, Any]
) -> None:
    catalog = parse_catalog(builtin_models(), {"dall-e-3": {"bridge": False}})

    order = translate(catalog, an_order(parameters=asked), TODAY)

    assert (order.model, order.prompt, order.images_per_call) == ("dall-e-3", "A lighthouse", 1)
    assert order.parameters == {**sent, "response_format": "b64_json"}
    assert (order.finish, order.bridge_version) == (None, "")


def test_without_its_bridge_a_model_takes_only_its_own_words() -> None:
    catalog = parse_catalog(builtin_models(), {"dall-e-3": {"bridge": False}})

    with pytest.raises(InvalidOrder) as caught:
        translate(catalog, an_order(parameters={"quality": "high"}), TODAY)

    assert caught.value.param == "quality"


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(InvalidOrder) as caught:
        send("dall-e-4")

    assert caught.value.param == "model"


@pytest.mark.parametrize("name", BRIDGED)
@given(data=st.data())
def test_whatever_a_bridged_model_takes_its_target_takes_too(name: str, data: st.DataObject) -> None:
    catalog = a_catalog()
    model = catalog.models[name]
    assert model.bridge is not None
    target = catalog.models[model.bridge.to]
    parameters = data.draw(_valid_parameters(accepted_model(catalog, model, AFTER_ALL)))
    n = data.draw(st.integers(1, 10))

    sent = translate(catalog, an_order(asked_model=name, parameters=parameters, n=n), AFTER_ALL)

    check_order(target, prompt=sent.prompt, n=min(n, sent.images_per_call), parameters=sent.parameters)
    assert sent.parameters.keys() <= {"size", *target.parameters}
    size = parameters.get("size", model.default_size or "auto")
    assert sent.finish == (Finish(*pixels) if (pixels := parse_size(size)) else None)
    if is_size_allowed(target.sizes, size):
        assert sent.parameters.get("size", "auto") == size
    _assert_quality_has_its_effect(model, parameters, sent)
    assert sent.prompt.startswith("A lighthouse")
    assert (NATURAL in sent.prompt) is (parameters.get("style") == "natural")


def _assert_quality_has_its_effect(model: Model, parameters: Mapping[str, Any], sent: SentOrder) -> None:
    asked = parameters.get("quality", model.parameters["quality"].default)
    translated = {"hd": "high", "standard": "medium"}.get(asked, asked)
    assert sent.parameters.get("quality", "auto") == translated


def _valid_parameters(model: Model) -> st.SearchStrategy[dict[str, Any]]:
    optional = {name: _valid_values(rule) for name, rule in model.parameters.items()}
    sizes = st.sampled_from(model.sizes.fixed)
    if model.sizes.multiple:
        edges = st.integers(1, model.sizes.max_edge // model.sizes.multiple)
        by_rule = st.builds(
            lambda w, h: f"{w * model.sizes.multiple}x{h * model.sizes.multiple}", edges, edges
        )
        sizes = sizes | by_rule.filter(lambda size: is_size_allowed(model.sizes, size))
    return st.fixed_dictionaries({}, optional={"size": sizes, **optional}).filter(_may_be_combined)


def _valid_values(rule: ParameterRule) -> st.SearchStrategy[Any]:
    if rule.values:
        return st.sampled_from(rule.values)
    return st.integers(rule.minimum, rule.maximum)


def _may_be_combined(parameters: Mapping[str, Any]) -> bool:
    """Say what the contract says: no transparent JPEG, no compressed PNG."""
    output_format = parameters.get("output_format", "png")
    if output_format == "jpeg":
        return parameters.get("background") != "transparent"
    return output_format == "webp" or parameters.get("output_compression") in (None, 100)
