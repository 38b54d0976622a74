"""The bridge, by examples and by a property over everything callers may ask of a bridged model."""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.bridge import BRIDGE_VERSION, translate, with_codes_of
from service.domain.catalog import Catalog, Model, ParameterRule, widen
from service.domain.errors import InvalidOrder
from service.domain.failures import FailureKind
from service.domain.images import Cutout, Finish, InputImage, Operation
from service.domain.inputs import MOST_JSON_INPUT_BYTES
from service.domain.models_file import parse_catalog
from service.domain.order import ImageOrder, SentOrder
from service.domain.pricing import estimate_image
from service.domain.sizes import is_size_allowed, parse_size
from service.domain.validation import check_order
from tests.fakes.values import a_catalog, a_failure, an_input, an_order, builtin_models
from tests.processes import REPOSITORY

TODAY = date(2026, 11, 20)
AFTER_ALL = date(2027, 1, 1)
BRIDGED = sorted(name for name, model in a_catalog().models.items() if model.bridge)
NATURAL = "Render this in a natural style"
MIB = 1024 * 1024


def send(model: str, *, prompt: str = "A lighthouse", today: date = TODAY, **parameters: Any) -> SentOrder:
    return translate(a_catalog(), an_order(asked_model=model, prompt=prompt, parameters=parameters), today)


def edit(model: str, *inputs: InputImage, **parameters: Any) -> SentOrder:
    order = an_order(asked_model=model, operation=Operation.EDIT, parameters=parameters, inputs=inputs)
    return translate(a_catalog(), order, TODAY)


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
def test_orders_are_translated_for_the_current_model(
    model: str, asked: Mapping[str, Any], sent: Mapping[str, Any], finish: Finish | None
) -> None:
    order = send(model, **asked)

    assert order.target.name == "gpt-image-2.6-flare"
    assert order.parameters == sent
    assert order.finish == finish
    assert order.bridge_version == BRIDGE_VERSION


@pytest.mark.parametrize("ignored", [{"style": "vivid"}, {"style": "natural"}, {"quality": "hd"}])
def test_what_clients_send_with_every_order_changes_nothing_of_dall_e_2(ignored: Mapping[str, Any]) -> None:
    assert send("dall-e-2", **ignored) == send("dall-e-2")


@pytest.mark.parametrize(
    ("asked", "param"), [({"style": "baroque"}, "style"), ({"quality": "ultra"}, "quality")]
)
def test_only_known_values_are_ignored(asked: Mapping[str, Any], param: str) -> None:
    with pytest.raises(InvalidOrder) as refused:
        send("dall-e-2", **asked)

    assert refused.value.param == param


def test_the_natural_style_becomes_a_prompt_suffix() -> None:
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


def test_a_prompt_suffix_counts_against_the_targets_limit() -> None:
    suffix_length = len(send("dall-e-3", style="natural").prompt) - len("A lighthouse")
    longest = "x" * (32_000 - suffix_length)

    assert len(send("dall-e-3", prompt=longest, style="natural").prompt) == 32_000
    assert send("dall-e-3", prompt="x" * 32_000).prompt == "x" * 32_000
    with pytest.raises(InvalidOrder) as caught:
        send("dall-e-3", prompt=longest + "x", style="natural")
    assert (caught.value.param, caught.value.code) == ("prompt", "string_above_max_length")


def test_a_current_model_is_sent_as_asked() -> None:
    order = send("gpt-image-2", size="2048x2048", quality="low", background="opaque")

    assert order == SentOrder(
        target=a_catalog().models["gpt-image-2"],
        prompt="A lighthouse",
        parameters={"size": "2048x2048", "quality": "low", "background": "opaque"},
        images_per_call=10,
        output_format="png",
    )


def test_a_named_default_is_left_out() -> None:
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
def test_a_model_is_bridged_from_its_shutdown_date_on(today: date, sent_model: str) -> None:
    order = send("gpt-image-1.5", today=today, quality="high")

    assert order.target.name == sent_model
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

    order = translate(catalog, an_order(catalog=catalog, parameters=asked), TODAY)

    assert (order.target.name, order.prompt, order.images_per_call) == ("dall-e-3", "A lighthouse", 1)
    assert order.parameters == {**sent, "response_format": "b64_json"}
    assert (order.finish, order.bridge_version) == (None, "")


def test_without_its_bridge_a_model_takes_only_its_own_values() -> None:
    catalog = parse_catalog(builtin_models(), {"dall-e-3": {"bridge": False}})

    with pytest.raises(InvalidOrder) as caught:
        translate(catalog, an_order(catalog=catalog, parameters={"quality": "high"}), TODAY)

    assert caught.value.param == "quality"


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(InvalidOrder) as caught:
        a_catalog().find("dall-e-4")

    assert caught.value.param == "model"


@pytest.mark.parametrize(
    ("inputs", "sent_roles", "cutout"),
    [
        ((an_input(),), ["image"], None),
        (
            (an_input(), an_input("mask")),
            ["image", "mask"],
            Cutout(an_input(), an_input("mask")),
        ),
        (
            (an_input("mask"), an_input(), an_input(digest="another")),
            ["mask", "image", "image"],
            Cutout(an_input(), an_input("mask")),
        ),
        (
            (an_input(has_alpha=True),),
            ["image", "mask"],
            Cutout(an_input(has_alpha=True), replace(an_input(has_alpha=True), role="mask")),
        ),
        ((an_input(has_alpha=True, format="webp"),), ["image"], None),
    ],
    ids=["no mask", "a mask", "a mask and several images", "own alpha", "alpha that is no mask"],
)
def test_an_old_edit_keeps_the_masked_area(
    inputs: tuple[InputImage, ...], sent_roles: list[str], cutout: Cutout | None
) -> None:
    order = edit("dall-e-2", *inputs, size="512x512")

    assert [entry.role for entry in order.inputs] == sent_roles
    assert order.finish == Finish(512, 512, cutout)
    assert order.operation is Operation.EDIT


def test_an_images_own_alpha_is_sent_as_its_mask_too() -> None:
    own = an_input(has_alpha=True)

    order = edit("dall-e-2", own)

    assert order.inputs == (own, replace(own, role="mask"))


@pytest.mark.parametrize("model", ["dall-e-3", "gpt-image-1", "gpt-image-2"])
def test_models_that_repaint_the_whole_image_still_may(model: str) -> None:
    inputs = an_input(has_alpha=True), an_input("mask")

    order = edit(model, *inputs)

    assert order.inputs == inputs
    assert order.finish is None or order.finish.cutout is None


def test_a_mask_is_respected_at_any_size() -> None:
    """Where the size is left to the model, the promise of DALL·E 2 holds all the same."""
    order = edit("dall-e-2", an_input(), an_input("mask"), size="auto")

    assert order.finish is not None
    assert order.finish.cutout == Cutout(an_input(), an_input("mask"))


def test_a_large_image_with_alpha_is_not_sent_as_a_mask_its_model_refuses() -> None:
    """A mask may have 4 MB, an image 50: what was asked is valid, so what is sent has to be."""
    own = an_input(has_alpha=True, size_bytes=5 * MIB)

    order = edit("dall-e-2", own)

    check_sent(order)


def test_an_image_with_alpha_and_markup_is_sent_without_a_mask() -> None:
    """A model takes one or the other."""
    catalog = parse_catalog(builtin_models(), {"dall-e-2": {"bridge": {"to": "gpt-image-2.5-flare"}}})
    inputs = an_input(has_alpha=True), an_input("markup")
    asked = an_order(catalog=catalog, asked_model="dall-e-2", operation=Operation.EDIT, inputs=inputs)

    order = translate(catalog, asked, TODAY)

    check_sent(order)


def test_an_image_with_alpha_may_become_a_gif() -> None:
    """The current model takes no mask for one."""
    order = edit("dall-e-2", an_input(has_alpha=True), output_format="gif")

    check_sent(order)


def test_the_asked_compression_is_that_of_a_changed_image_too() -> None:
    order = edit("dall-e-2", an_input(), size="512x512", output_format="jpeg", output_compression=40)

    assert order.finish == Finish(512, 512, None, 40)


def test_variations_are_edits_with_an_instruction_for_each() -> None:
    source = an_input()
    asked = an_order(
        operation=Operation.VARY, asked_model="dall-e-2", prompt="", n=4, inputs=(source,), parameters={}
    )

    order = translate(a_catalog(), asked, TODAY)

    assert (order.operation, order.target.name) == (Operation.EDIT, "gpt-image-2.6-flare")
    assert (order.images_per_call, order.inputs) == (1, (source,))
    assert order.finish == Finish(1024, 1024)
    prompts = [order.prompt_for(index) for index in range(11)]
    assert len(set(prompts[:10])) == 10
    assert prompts[10] == prompts[0]
    assert all(prompt.startswith("Paint a variation of this image") for prompt in prompts)


def test_only_a_model_that_had_variations_makes_them() -> None:
    for model in ("dall-e-3", "gpt-image-1", "gpt-image-2"):
        asked = an_order(operation=Operation.VARY, asked_model=model, inputs=(an_input(),))
        with pytest.raises(InvalidOrder) as caught:
            translate(a_catalog(), asked, TODAY)

        assert (caught.value.param, caught.value.error_type) == ("model", "image_generation_user_error")


def test_without_its_bridge_a_variation_is_sent_as_one() -> None:
    catalog = parse_catalog(builtin_models(), {"dall-e-2": {"bridge": False}})
    asked = an_order(
        catalog=catalog, operation=Operation.VARY, asked_model="dall-e-2", prompt="", inputs=(an_input(),)
    )

    order = translate(catalog, asked, TODAY)

    assert (order.operation, order.target.name, order.instructions) == (Operation.VARY, "dall-e-2", ())
    assert order.prompt_for(3) == ""


@pytest.mark.parametrize("model", ["dall-e-3", "gpt-image-2"])
def test_how_images_are_delivered_is_not_sent(model: str) -> None:
    assert send(model, stream=True, partial_images=3) == send(model)
    assert send(model, stream=False) == send(model)


def test_unknown_parameters_are_passed_on_if_the_backend_wants_them() -> None:
    order = an_order(asked_model="gpt-image-2", parameters={"seed": 7, "quality": "low"})

    sent = translate(a_catalog(), order, TODAY, pass_unknown=True)

    assert sent.parameters == {"seed": 7, "quality": "low"}
    with pytest.raises(InvalidOrder):
        translate(a_catalog(), order, TODAY)


@pytest.mark.parametrize("model", ["dall-e-2", "dall-e-3", "gpt-image-1"])
def test_unknown_parameters_are_never_dropped_silently(model: str) -> None:
    """Retired names promise a contract of their own, in which there is no such parameter."""
    order = an_order(asked_model=model, parameters={"seed": 7})

    with pytest.raises(InvalidOrder) as caught:
        translate(a_catalog(), order, TODAY, pass_unknown=True)

    assert (caught.value.param, caught.value.code) == ("seed", "unknown_parameter")


def test_a_wrong_value_of_a_known_parameter_is_not_passed_on() -> None:
    order = an_order(asked_model="gpt-image-2", parameters={"quality": "finest"})

    with pytest.raises(InvalidOrder) as caught:
        translate(a_catalog(), order, TODAY, pass_unknown=True)

    assert caught.value.param == "quality"


@pytest.mark.parametrize(
    ("model", "kind", "code", "error_type"),
    [
        ("dall-e-2", FailureKind.REFUSED, "content_policy_violation", "invalid_request_error"),
        ("dall-e-3", FailureKind.REFUSED, "content_policy_violation", "invalid_request_error"),
        ("gpt-image-1", FailureKind.REFUSED, "moderation_blocked", "image_generation_user_error"),
        ("gpt-image-2", FailureKind.REFUSED, "moderation_blocked", "image_generation_user_error"),
        ("dall-e-3", FailureKind.INVALID, "moderation_blocked", "image_generation_user_error"),
    ],
)
def test_a_refusal_has_the_codes_of_the_asked_model(
    model: str, kind: FailureKind, code: str, error_type: str
) -> None:
    details = {"moderation_details": {"categories": ["violence"]}}
    failure = a_failure(
        kind=kind, code="moderation_blocked", type="image_generation_user_error", details=details
    )

    told = with_codes_of(a_catalog().models[model], failure)

    assert (told.code, told.type) == (code, error_type)
    assert (told.message, told.details, told.billing) == (failure.message, details, failure.billing)


# In each of these something is drawn for every parameter, so they are made once.
_ORDERS: dict[tuple[str, Operation], st.SearchStrategy[dict[str, Any]]] = {}
EXAMPLES = 1430
"""For each bridged model: 10,010 in all."""


@pytest.mark.parametrize("name", BRIDGED)
@given(data=st.data())
def test_the_target_takes_every_order_of_a_bridged_model(name: str, data: st.DataObject) -> None:
    check_some_order(name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", BRIDGED)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_a_bridged_models_target_takes_ten_thousand_orders(name: str, data: st.DataObject) -> None:
    check_some_order(name, data)


def check_some_order(name: str, data: st.DataObject) -> None:
    """Translate an order that the bridged model *name* takes, and hold it to the rules of its target."""
    catalog = a_catalog()
    model = catalog.models[name]
    accepted = widen(model, catalog.models[model.bridge.to]) if model.bridge else model
    operation = data.draw(st.sampled_from(accepted.contract.operations))
    asked = data.draw(_orders(accepted, operation))
    order = an_order(asked_model=name, operation=operation, **asked)

    sent = translate(catalog, order, AFTER_ALL)

    check_sent(sent, n=min(order.n, sent.images_per_call))
    _assert_shape(catalog, model, order, sent)
    _assert_effects(model, order, sent)


def test_the_property_is_tried_at_least_ten_thousand_times() -> None:
    assert EXAMPLES * len(BRIDGED) >= 10_000


def check_sent(sent: SentOrder, *, n: int = 1) -> None:
    """Hold *sent* to the rules of the model that gets it, for every index of its pool that may be asked."""
    for index in range(max(1, len(sent.instructions))):
        check_order(
            a_catalog().models[sent.target.name],
            prompt=sent.prompt_for(index),
            n=n,
            parameters=sent.parameters,
            operation=sent.operation,
            inputs=sent.inputs,
        )


def _assert_shape(catalog: Catalog, model: Model, order: ImageOrder, sent: SentOrder) -> None:
    target = catalog.models[sent.target.name]
    assert sent.parameters.keys() <= {"size", *target.contract.parameters} - {"stream", "partial_images"}
    size = order.parameters.get("size", model.contract.default_size or "auto")
    pixels = parse_size(size)
    if pixels is None and sent.finish is not None and sent.finish.cutout is not None:
        pixels = (sent.finish.cutout.image.width, sent.finish.cutout.image.height)
    assert (sent.finish and (sent.finish.width, sent.finish.height)) == pixels
    if is_size_allowed(target.contract.sizes, size):
        assert sent.parameters.get("size", "auto") == size
    if order.operation is Operation.VARY:
        assert (sent.operation, sent.images_per_call) == (Operation.EDIT, 1)
        assert len(set(sent.instructions)) == 10
    else:
        assert (sent.operation, sent.instructions) == (order.operation, ())
        assert sent.images_per_call == model.images_per_call


def _assert_effects(model: Model, order: ImageOrder, sent: SentOrder) -> None:
    asked = order.parameters.get("quality", model.contract.parameters["quality"].default)
    is_two = model.name == "dall-e-2"
    translated = {"hd": "medium" if is_two else "high", "standard": "medium"}.get(asked, asked)
    assert sent.parameters.get("quality", "auto") == translated
    assert sent.prompt.startswith(order.prompt)
    assert (NATURAL in sent.prompt) is (order.parameters.get("style") == "natural" and not is_two)
    assert sent.inputs[: len(order.inputs)] == order.inputs
    if sent.finish is not None and sent.finish.cutout is not None:
        assert is_two
        assert sent.finish.cutout.image == next(entry for entry in order.inputs if entry.role == "image")
        mask = sent.finish.cutout.mask
        assert mask in sent.inputs or mask.digest == sent.finish.cutout.image.digest


def _orders(model: Model, operation: Operation) -> st.SearchStrategy[dict[str, Any]]:
    if (model.name, operation) not in _ORDERS:
        _ORDERS[model.name, operation] = st.fixed_dictionaries(
            {
                "parameters": _valid_parameters(model, operation),
                "n": st.integers(1, 10),
                "prompt": st.just("") if operation is Operation.VARY else st.just("A lighthouse"),
                "inputs": st.just(()) if operation is Operation.GENERATE else _valid_inputs(model, operation),
            }
        ).filter(lambda order: _is_valid_preview(order) and _fits_into_json(order))
    return _ORDERS[model.name, operation]


def _fits_into_json(order: Mapping[str, Any]) -> bool:
    """Tell if the images fit beside a moderation level, also if one of them is its own mask."""
    if order["parameters"].get("moderation") != "low":
        return True
    has_markup = any(entry.role == "markup" for entry in order["inputs"])
    size_bytes: int = 2 * sum(entry.size_bytes for entry in order["inputs"])
    return not has_markup and size_bytes <= MOST_JSON_INPUT_BYTES


def _valid_inputs(model: Model, operation: Operation) -> st.SearchStrategy[tuple[InputImage, ...]]:
    rule = model.contract.inputs
    edges = st.integers(1, 6000)
    image = st.builds(
        an_input,
        format=st.sampled_from(rule.formats),
        width=edges,
        height=edges,
        # Of an image with alpha and its use as a mask there is a test of its own.
        size_bytes=st.integers(1, rule.mask_max_bytes),
        has_alpha=st.booleans(),
        digest=st.sampled_from(["one", "another"]),
    )
    if operation is Operation.VARY:
        return st.tuples(image)
    several = st.lists(image, min_size=1, max_size=3).map(tuple)
    images = several | image.map(lambda one: (one,) * rule.max_images)
    overlays = ["mask", "markup"] if rule.takes_markup else ["mask"]
    return st.builds(_with_overlay, images, st.none() | st.sampled_from(overlays))


def _with_overlay(images: tuple[InputImage, ...], role: str | None) -> tuple[InputImage, ...]:
    if role is None:
        return images
    return (*images, an_input(role, width=images[0].width, height=images[0].height))


def _valid_parameters(model: Model, operation: Operation) -> st.SearchStrategy[dict[str, Any]]:
    optional = {
        name: _valid_values(rule)
        for name, rule in model.contract.parameters.items()
        if not rule.operations or operation in rule.operations
    }
    sizes = st.sampled_from(model.contract.sizes.fixed)
    if model.contract.sizes.multiple:
        edges = st.integers(1, model.contract.sizes.max_edge // model.contract.sizes.multiple)
        by_rule = st.builds(
            lambda width, height: (
                f"{width * model.contract.sizes.multiple}x{height * model.contract.sizes.multiple}"
            ),
            edges,
            edges,
        ).filter(lambda size: is_size_allowed(model.contract.sizes, size))
        sizes = sizes | by_rule
    return st.fixed_dictionaries({}, optional={"size": sizes, **optional}).map(_without_contradictions)


def _valid_values(rule: ParameterRule) -> st.SearchStrategy[Any]:
    if rule.values:
        return st.sampled_from(rule.values)
    if rule.kind == "boolean":
        return st.booleans()
    if rule.kind == "object":
        return st.just({"model": "svg-1", "reasoning": {"effort": "low"}})
    return st.integers(rule.minimum, rule.maximum)


def _without_contradictions(drawn: dict[str, Any]) -> dict[str, Any]:
    """Leave out what the contract does not take together: better than to draw until nothing is wrong."""
    parameters = dict(drawn)
    output_format = parameters.get("output_format", "png")
    if output_format == "jpeg" and parameters.get("background") == "transparent":
        del parameters["background"]
    if output_format not in ("jpeg", "webp"):
        parameters.pop("output_compression", None)
    if output_format != "gif":
        parameters.pop("frame_count", None)
        parameters.pop("frame_duration_ms", None)
    if output_format != "svg":
        parameters.pop("svg", None)
    if output_format in ("gif", "svg"):
        parameters.pop("stream", None)
    if not parameters.get("stream"):
        parameters.pop("partial_images", None)
    return parameters


def _is_valid_preview(asked: dict[str, Any]) -> bool:
    output_format = asked["parameters"].get("output_format")
    if output_format == "gif":
        return all(entry.role != "mask" for entry in asked["inputs"])
    return bool(output_format != "svg" or asked["n"] == 1)


def own_models() -> dict[str, dict[str, Any]]:
    text = (REPOSITORY / "deploy/models.toml.example").read_text("utf-8")
    models: dict[str, dict[str, Any]] = tomllib.loads(text)["models"]
    return models


def example_of_own_models() -> Catalog:
    return parse_catalog(builtin_models(), own_models())


@pytest.mark.parametrize(
    ("model", "asked", "sent", "finish"),
    [
        ("my-model", {}, {"size": "1024x1024"}, None),
        ("my-model", {"size": "512x512", "seed": 7}, {"size": "512x512", "seed": 7}, None),
        ("dall-e-3", {"quality": "hd"}, {"size": "1024x1024"}, Finish(1024, 1024)),
        ("dall-e-3", {"size": "1792x1024"}, {"size": "1024x1024"}, Finish(1792, 1024)),
    ],
)
def test_the_example_bridges_retired_names_to_its_own_model(
    model: str, asked: Mapping[str, Any], sent: Mapping[str, Any], finish: Finish | None
) -> None:
    catalog = example_of_own_models()

    order = translate(catalog, an_order(catalog=catalog, asked_model=model, parameters=asked), TODAY)

    assert order.target.name == "my-model"
    assert order.parameters == {**sent, "response_format": "b64_json"}
    assert order.finish == finish


@pytest.mark.parametrize(
    ("size", "microusd"), [("512x512", 2_000), ("1024x1024", 5_000)], ids=["small", "large"]
)
def test_the_example_prices_every_size(size: str, microusd: int) -> None:
    catalog = example_of_own_models()
    sent = translate(
        catalog, an_order(catalog=catalog, asked_model="my-model", parameters={"size": size}), TODAY
    )

    assert estimate_image(catalog.models["my-model"], sent.parameters) == microusd


def test_a_bridge_asks_for_no_more_images_in_one_call_than_its_target_makes() -> None:
    catalog = parse_catalog(builtin_models(), {**own_models(), "dall-e-2": {"bridge": {"to": "my-model"}}})

    assert translate(catalog, an_order(catalog=catalog, asked_model="dall-e-2"), TODAY).images_per_call == 1
