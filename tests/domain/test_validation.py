import contextlib
from typing import Any

import pytest

from service.domain.catalog import Model, widen
from service.domain.errors import InvalidOrder
from service.domain.images import InputImage, Operation
from service.domain.inputs import MOST_JSON_INPUT_BYTES
from service.domain.models_file import parse_catalog
from service.domain.validation import check_order, check_prompt
from tests.fakes.values import a_catalog, an_input, builtin_models

USER_ERROR = "image_generation_user_error"
REQUEST_ERROR = "invalid_request_error"


def check(model: Model | str, *, prompt: str = "A lighthouse", n: int = 1, **parameters: Any) -> None:
    named = a_catalog().models[model] if isinstance(model, str) else model
    check_order(named, prompt=prompt, n=n, parameters=parameters)


def bridged(name: str) -> Model:
    models = a_catalog().models
    bridge = models[name].bridge
    assert bridge is not None
    return widen(models[name], models[bridge.to])


@pytest.mark.parametrize(
    ("model", "order"),
    [
        ("dall-e-2", {"prompt": "x"}),
        ("dall-e-2", {"prompt": "x" * 1000, "n": 10, "size": "256x256", "quality": "standard"}),
        ("dall-e-3", {"prompt": "x" * 4000, "size": "1792x1024", "quality": "hd", "style": "natural"}),
        ("gpt-image-1", {"size": "auto", "quality": "high", "background": "transparent"}),
        ("gpt-image-2", {"prompt": "x" * 32_000, "size": "3840x2160"}),
        ("gpt-image-2", {"output_compression": 0, "output_format": "jpeg"}),
        ("gpt-image-2", {"output_compression": 100, "output_format": "webp"}),
        ("gpt-image-2", {"output_compression": 100}),
        ("gpt-image-2", {"background": "transparent", "output_format": "webp"}),
        ("gpt-image-2", {"background": "opaque", "output_format": "jpeg"}),
        ("gpt-image-2.6-flare", {"quality": "max", "complexity": "low", "moderation": "low"}),
        ("gpt-image-2", {"stream": True, "partial_images": 3}),
        ("gpt-image-2", {"stream": False}),
        ("gpt-image-2", {"partial_images": 0}),
        ("gpt-image-2", {"output_format": "gif", "frame_count": 16, "frame_duration_ms": 10}),
        ("gpt-image-2", {"output_format": "svg", "svg": {"reasoning": {"effort": "low"}}}),
    ],
)
def test_valid_orders_pass(model: str, order: dict[str, Any]) -> None:
    check(model, **order)


def test_a_stream_of_a_route_needs_no_parameter() -> None:
    model = a_catalog().models["gpt-image-2"]
    with pytest.raises(InvalidOrder, match="requires 'stream'"):
        check_order(model, prompt="x", n=1, parameters={"partial_images": 1})

    check_order(model, prompt="x", n=1, parameters={"partial_images": 1}, is_streamed=True)
    check_order(a_catalog().models["dall-e-3"], prompt="x", n=1, parameters={}, is_streamed=True)


@pytest.mark.parametrize(
    ("model", "order", "param", "code", "error_type"),
    [
        ("dall-e-3", {"prompt": ""}, "prompt", "empty_string", REQUEST_ERROR),
        ("dall-e-3", {"prompt": " \n\t\u3000"}, "prompt", "empty_string", REQUEST_ERROR),
        ("dall-e-2", {"prompt": "x" * 1001}, "prompt", "string_above_max_length", REQUEST_ERROR),
        ("dall-e-3", {"prompt": "x" * 4001}, "prompt", "string_above_max_length", REQUEST_ERROR),
        ("gpt-image-2", {"prompt": "x" * 32_001}, "prompt", "string_above_max_length", REQUEST_ERROR),
        ("dall-e-3", {"n": 0}, "n", "integer_below_min_value", REQUEST_ERROR),
        ("dall-e-3", {"n": -1}, "n", "integer_below_min_value", REQUEST_ERROR),
        ("dall-e-3", {"n": 11}, "n", "integer_above_max_value", REQUEST_ERROR),
        ("dall-e-3", {"size": "256x256"}, "size", "invalid_size", REQUEST_ERROR),
        ("dall-e-2", {"size": "1792x1024"}, "size", "invalid_size", REQUEST_ERROR),
        ("dall-e-2", {"size": "auto"}, "size", "invalid_size", REQUEST_ERROR),
        ("dall-e-3", {"size": 1024}, "size", "invalid_type", REQUEST_ERROR),
        ("gpt-image-1", {"size": "512x512"}, "size", "invalid_value", REQUEST_ERROR),
        ("gpt-image-2", {"size": "large"}, "size", "invalid_value", REQUEST_ERROR),
        ("gpt-image-2", {"size": "01024x1024"}, "size", "invalid_value", REQUEST_ERROR),
        ("gpt-image-2", {"size": "1000x1000"}, "size", "invalid_value", USER_ERROR),
        ("gpt-image-2", {"size": "512x512"}, "size", "invalid_value", USER_ERROR),
        ("gpt-image-2", {"size": "4096x1024"}, "size", "invalid_value", USER_ERROR),
        ("gpt-image-2", {"style": "vivid"}, "style", "unknown_parameter", REQUEST_ERROR),
        ("gpt-image-2", {"response_format": "url"}, "response_format", "unknown_parameter", REQUEST_ERROR),
        ("gpt-image-2", {"complexity": "low"}, "complexity", "unknown_parameter", REQUEST_ERROR),
        ("gpt-image-2", {"quality": "hd"}, "quality", "invalid_value", REQUEST_ERROR),
        ("gpt-image-2", {"quality": True}, "quality", "invalid_type", REQUEST_ERROR),
        (
            "gpt-image-2",
            {"output_compression": -1},
            "output_compression",
            "integer_below_min_value",
            REQUEST_ERROR,
        ),
        (
            "gpt-image-2",
            {"output_compression": 101},
            "output_compression",
            "integer_above_max_value",
            REQUEST_ERROR,
        ),
        ("gpt-image-2", {"output_compression": "50"}, "output_compression", "invalid_type", REQUEST_ERROR),
        ("gpt-image-2", {"output_compression": True}, "output_compression", "invalid_type", REQUEST_ERROR),
        ("gpt-image-2", {"output_compression": 50.0}, "output_compression", "invalid_type", REQUEST_ERROR),
        ("gpt-image-2", {"output_compression": 99}, "output_compression", "invalid_value", REQUEST_ERROR),
        (
            "gpt-image-2",
            {"output_compression": 99, "output_format": "png"},
            "output_compression",
            "invalid_value",
            REQUEST_ERROR,
        ),
        (
            "gpt-image-2",
            {"background": "transparent", "output_format": "jpeg"},
            "background",
            "invalid_value",
            REQUEST_ERROR,
        ),
        ("gpt-image-2", {"stream": "true"}, "stream", "invalid_type", REQUEST_ERROR),
        ("gpt-image-2", {"stream": 1}, "stream", "invalid_type", REQUEST_ERROR),
        ("gpt-image-2", {"output_format": "svg", "svg": "x"}, "svg", "invalid_type", REQUEST_ERROR),
        ("gpt-image-2", {"partial_images": 1}, "partial_images", "invalid_value", REQUEST_ERROR),
        (
            "gpt-image-2",
            {"partial_images": 1, "stream": False},
            "partial_images",
            "invalid_value",
            REQUEST_ERROR,
        ),
        (
            "gpt-image-2",
            {"partial_images": 4, "stream": True},
            "partial_images",
            "integer_above_max_value",
            REQUEST_ERROR,
        ),
        ("gpt-image-2", {"frame_count": 2}, "frame_count", "invalid_value", REQUEST_ERROR),
        (
            "gpt-image-2",
            {"frame_duration_ms": 20, "output_format": "webp"},
            "frame_duration_ms",
            "invalid_value",
            REQUEST_ERROR,
        ),
        ("gpt-image-2", {"svg": {}}, "svg", "invalid_value", REQUEST_ERROR),
        ("gpt-image-2", {"stream": True, "output_format": "svg"}, "stream", "invalid_value", REQUEST_ERROR),
        ("gpt-image-2", {"stream": True, "output_format": "gif"}, "stream", "invalid_value", REQUEST_ERROR),
        ("gpt-image-2", {"n": 2, "output_format": "svg"}, "n", "invalid_value", REQUEST_ERROR),
    ],
)
def test_refusals(model: str, order: dict[str, Any], param: str, code: str, error_type: str) -> None:
    with pytest.raises(InvalidOrder) as caught:
        check(model, **order)

    refusal = caught.value
    assert (refusal.param, refusal.code, refusal.error_type) == (param, code, error_type)


@pytest.mark.parametrize(
    ("model", "order", "says"),
    [
        ("dall-e-2", {"prompt": "x" * 1001}, "maximum length 1000, but got a string with length 1001"),
        ("dall-e-2", {"n": 11}, "<= 10, but got 11"),
        ("dall-e-2", {"n": 0}, ">= 1, but got 0"),
        ("dall-e-2", {"size": "1x1"}, "sizes are: '256x256', '512x512', and '1024x1024'."),
        ("dall-e-2", {"quality": "hd"}, "'hd'. Supported values are: 'standard'."),
        ("gpt-image-2", {"size": "x"}, "'x'. Supported values are: 'auto', and any 'WIDTHxHEIGHT' in"),
        ("gpt-image-1", {"size": "x"}, "'1024x1024', '1024x1536', '1536x1024', and 'auto'."),
        ("gpt-image-2", {"size": "1000x1000"}, "'1000x1000'. Width and height must both be divisible by 16."),
        ("gpt-image-2", {"output_compression": 101}, "<= 100"),
        ("gpt-image-2", {"output_compression": -1}, ">= 0"),
        ("gpt-image-2", {"colour": "red"}, "Unknown parameter: 'colour'."),
        ("gpt-image-2", {"quality": True}, "expected a string, but got a boolean"),
        ("gpt-image-2", {"quality": 1}, "but got an integer"),
        ("gpt-image-2", {"quality": 1.5}, "but got a number"),
        ("gpt-image-2", {"quality": ["low"]}, "but got an array"),
        ("gpt-image-2", {"quality": {"is": "low"}}, "but got an object"),
        ("gpt-image-2", {"output_compression": "9"}, "expected an integer, but got a string"),
        ("gpt-image-2", {"stream": 1}, "expected a boolean, but got an integer"),
        ("gpt-image-2", {"svg": "x"}, "expected an object, but got a string"),
        ("gpt-image-2", {"frame_count": 2}, "requires output_format 'gif'"),
    ],
)
def test_a_refusal_says_what_would_be_right(model: str, order: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidOrder) as caught:
        check(model, **order)

    assert says in str(caught.value)


@pytest.mark.parametrize("parameters", [{"x" * 10_000: 1}, {"quality": "x" * 10_000}, {"size": "x" * 10_000}])
def test_a_refusal_never_repeats_endless_input(parameters: dict[str, Any]) -> None:
    with pytest.raises(InvalidOrder) as caught:
        check("gpt-image-2", **parameters)

    assert len(str(caught.value)) < 400
    assert len(caught.value.param or "") <= 100


def test_a_bridged_model_also_takes_every_size_of_its_target() -> None:
    check(bridged("dall-e-3"), size="1536x1024")

    with pytest.raises(InvalidOrder) as caught:
        check(bridged("dall-e-3"), size="256x256")

    assert caught.value.code == "invalid_size"
    assert "any 'WIDTHxHEIGHT' in multiples of 16" in str(caught.value)


def test_a_gif_takes_no_mask() -> None:
    model = a_catalog().models["gpt-image-2"]

    with pytest.raises(InvalidOrder) as caught:
        check_order(
            model,
            prompt="A lighthouse",
            n=1,
            parameters={"output_format": "gif"},
            operation=Operation.EDIT,
            inputs=(an_input(), an_input("mask")),
        )

    assert caught.value.param == "mask"


def test_an_endpoint_the_model_lacks_is_refused() -> None:
    with pytest.raises(InvalidOrder) as caught:
        check_order(
            a_catalog().models["dall-e-3"],
            prompt="A lighthouse",
            n=1,
            parameters={},
            operation=Operation.EDIT,
            inputs=(an_input(),),
        )

    assert (caught.value.param, caught.value.error_type) == ("model", USER_ERROR)


def test_unknown_parameters_may_be_left_to_the_backend() -> None:
    model = a_catalog().models["gpt-image-2"]

    check_order(model, prompt="A lighthouse", n=1, parameters={"seed": 7}, pass_unknown=True)
    with pytest.raises(InvalidOrder):
        check_order(model, prompt="A lighthouse", n=1, parameters={"quality": "x"}, pass_unknown=True)


def test_a_rule_may_have_only_one_end() -> None:
    entry = {"parameters": {"seed": {"minimum": 0}, "fade": {"maximum": 9}}}
    model = parse_catalog(builtin_models(), {"gpt-image-2": entry}).models["gpt-image-2"]

    check(model, seed=10**12, fade=-(10**12))


def test_the_prompt_is_counted_in_characters() -> None:
    check_prompt("灯塔" * 5, 10)

    with pytest.raises(InvalidOrder):
        check_prompt("灯塔" * 5, 9)


def test_the_first_fault_is_reported() -> None:
    with pytest.raises(InvalidOrder) as caught:
        check("dall-e-3", prompt="", n=0, size="x")

    assert caught.value.param == "prompt"


@pytest.mark.parametrize(
    ("inputs", "is_taken"),
    [
        ([an_input(size_bytes=MOST_JSON_INPUT_BYTES)], True),
        ([an_input(size_bytes=MOST_JSON_INPUT_BYTES), an_input(size_bytes=1)], False),
        ([an_input(), an_input("mask")], True),
        ([an_input(), an_input("markup")], False),
    ],
    ids=["8 MB", "above 8 MB", "mask", "markup"],
)
def test_an_edit_with_a_moderation_level_has_to_fit_into_json(
    inputs: list[InputImage], *, is_taken: bool
) -> None:
    model = a_catalog().models["gpt-image-2.5-flare"]
    given: dict[str, Any] = {"prompt": "a boat", "n": 1, "operation": Operation.EDIT, "inputs": tuple(inputs)}
    check_order(model, **given, parameters={"moderation": "auto"})

    with contextlib.nullcontext() if is_taken else pytest.raises(InvalidOrder, match="'moderation'"):
        check_order(model, **given, parameters={"moderation": "low"})


def test_variations_take_no_moderation_level() -> None:
    with pytest.raises(InvalidOrder, match="Unknown parameter: 'moderation'"):
        check_order(
            a_catalog().models["dall-e-2"],
            prompt="",
            n=1,
            operation=Operation.VARY,
            inputs=(an_input(has_alpha=True),),
            parameters={"moderation": "low"},
        )


RULE = (
    "'auto', and any 'WIDTHxHEIGHT' in multiples of 16, with edges of at most 3840, a ratio of at most 3:1 and 655360 to "
    "8294400 pixels."
)


@pytest.mark.parametrize(
    ("model", "order", "message"),
    [
        (
            "gpt-image-2",
            {"size": "100x100"},
            (
                "Invalid size '100x100'. Width and height must both be divisible by 16. Requested resolution is below the "
                f"current minimum pixel budget: 10000 of 655360 pixels. Supported sizes are: {RULE}"
            ),
        ),
        ("gpt-image-2", {"size": "large"}, f"Invalid value: 'large'. Supported values are: {RULE}"),
        (
            "gpt-image-1",
            {"size": "1x1"},
            "Invalid value: '1x1'. Supported values are: '1024x1024', '1024x1536', '1536x1024', and 'auto'.",
        ),
        (
            "dall-e-3",
            {"size": "256x256"},
            "The size is not supported by this model: '256x256'. Supported sizes are: '1024x1024', '1792x1024', and '1024x1792'.",
        ),
        (
            "gpt-image-2",
            {"output_compression": 101},
            "Invalid 'output_compression': integer above maximum value. Expected a value <= 100, but got 101 instead.",
        ),
        (
            "gpt-image-2",
            {"output_compression": "much" * 20},
            f"Invalid type for 'output_compression': expected an integer, but got a string instead: '{'much' * 10}'.",
        ),
        (
            "gpt-image-2",
            {"output_compression": 0.5},
            "Invalid type for 'output_compression': expected an integer, but got a number instead: 0.5.",
        ),
        ("gpt-image-2", {"qualty": "low"}, "Unknown parameter: 'qualty'. Did you mean 'quality'?"),
        (
            "dall-e-3",
            {"seed": 7},
            (
                "Unknown parameter: 'seed'. The model 'dall-e-3' takes: model, n, prompt, quality, response_format, "
                "safety_identifier, size, style, user."
            ),
        ),
    ],
)
def test_a_refusal_repeats_the_value_and_says_what_the_model_takes(
    model: str, order: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidOrder) as caught:
        check(model, **order)

    assert str(caught.value) == message


def test_a_bridged_model_names_its_own_sizes_and_the_rule_of_the_other() -> None:
    with pytest.raises(InvalidOrder) as caught:
        check(bridged("dall-e-3"), size="256x256")

    assert str(caught.value) == (
        "The size is not supported by this model: '256x256'. Requested resolution is below the current minimum pixel budget: "
        f"65536 of 655360 pixels. Supported sizes are: '1024x1024', '1792x1024', '1024x1792', {RULE}"
    )


def test_long_values_are_cut() -> None:
    with pytest.raises(InvalidOrder) as caught:
        check("gpt-image-2", size="9" * 5000)

    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("name", "nearest"), [("dalle-3", "dall-e-3"), ("gpt-image2", "gpt-image-2"), ("stable-diffusion", None)]
)
def test_an_unknown_model_is_refused_with_the_nearest_name(name: str, nearest: str | None) -> None:
    with pytest.raises(InvalidOrder) as caught:
        a_catalog().find(name)

    hint = f" Did you mean '{nearest}'?" if nearest else ""
    assert str(caught.value).startswith(f"The model '{name}' does not exist.{hint} GET /v1/models")
