"""The images a model takes by its rule."""

from typing import Any

import pytest

from service.domain.catalog import Model, widen
from service.domain.errors import InvalidOrder
from service.domain.images import InputImage, Operation
from service.domain.inputs import MAX_INPUT_PIXELS, check_inputs, turns_needed
from service.domain.validation import check_order
from tests.fakes.values import a_catalog, an_input

MIB = 1024 * 1024
CURRENT, MARKING, OLD = "gpt-image-2", "gpt-image-2.5-flare", "dall-e-2"


def model(name: str) -> Model:
    return a_catalog().models[name]


def refusal(name: str, *inputs: InputImage, operation: Operation = Operation.EDIT) -> InvalidOrder:
    with pytest.raises(InvalidOrder) as caught:
        check_inputs(model(name), operation, inputs)
    return caught.value


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        (CURRENT, [an_input()]),
        (CURRENT, [an_input(format="jpeg"), an_input(format="webp", width=7, height=5)]),
        (CURRENT, [an_input()] * 16),
        (CURRENT, [an_input(size_bytes=50 * MIB, width=8000, height=5000)]),
        (CURRENT, [an_input("mask", size_bytes=4 * MIB), an_input()]),
        (CURRENT, [an_input(), an_input(width=10, height=20), an_input("mask")]),
        (MARKING, [an_input(), an_input("markup")]),
        (OLD, [an_input(has_alpha=True)]),
        (OLD, [an_input(), an_input("mask")]),
    ],
)
def test_valid_images_pass(name: str, inputs: list[InputImage]) -> None:
    check_inputs(model(name), Operation.EDIT, tuple(inputs))


@pytest.mark.parametrize(
    ("name", "inputs", "param", "code"),
    [
        (CURRENT, [], "image", "missing_required_parameter"),
        (CURRENT, [an_input("mask")], "image", "missing_required_parameter"),
        (CURRENT, [an_input()] * 17, "image", "array_above_max_length"),
        (OLD, [an_input(has_alpha=True)] * 2, "image", "array_above_max_length"),
        (CURRENT, [an_input(format="gif")], "image", "unsupported_file_mimetype"),
        (CURRENT, [an_input(format="")], "image", "unsupported_file_mimetype"),
        (OLD, [an_input(format="jpeg")], "image", "unsupported_file_mimetype"),
        (CURRENT, [an_input(), an_input(format="gif")], "image[1]", "unsupported_file_mimetype"),
        (CURRENT, [an_input(size_bytes=50 * MIB + 1)], "image", "image_file_too_large"),
        (OLD, [an_input(size_bytes=4 * MIB + 1, has_alpha=True)], "image", "image_file_too_large"),
        (CURRENT, [an_input(width=MAX_INPUT_PIXELS + 1, height=1)], "image", "image_too_large"),
        (OLD, [an_input(width=512, has_alpha=True)], "image", "invalid_image_format"),
        (OLD, [an_input()], "image", None),
        (CURRENT, [an_input(), an_input("markup")], "markup", "unknown_parameter"),
        (MARKING, [an_input(), an_input("mask"), an_input("markup")], "markup", "invalid_value"),
        (CURRENT, [an_input(), an_input("mask", format="webp")], "mask", "invalid_image_format"),
        (CURRENT, [an_input(), an_input("mask", size_bytes=4 * MIB + 1)], "mask", "invalid_image_format"),
        (CURRENT, [an_input(), an_input("mask", width=512)], "mask", "invalid_image_format"),
        (CURRENT, [an_input(), an_input("mask", height=512)], "mask", "invalid_image_format"),
        (CURRENT, [an_input(), an_input("mask", has_alpha=False)], "mask", "invalid_image_format"),
        (MARKING, [an_input(), an_input("markup", has_alpha=False)], "markup", "invalid_image_format"),
    ],
)
def test_refusals(name: str, inputs: list[InputImage], param: str, code: str | None) -> None:
    refused = refusal(name, *inputs)

    assert (refused.param, refused.code) == (param, code)
    assert refused.error_type == "invalid_request_error"


@pytest.mark.parametrize(
    ("name", "inputs", "says"),
    [
        (CURRENT, [an_input()] * 17, "at most 16 images may be sent, but got 17"),
        (CURRENT, [an_input(format="")], "('unknown'). Supported file formats are png, jpeg, webp."),
        (CURRENT, [an_input(size_bytes=51 * MIB)], "smaller than 50 MB"),
        (OLD, [an_input(width=512, height=256, has_alpha=True)], "square, but is 512x256"),
        (OLD, [an_input()], "make the part to repaint transparent"),
        (CURRENT, [an_input(), an_input("mask", width=64, height=32)], "1024x1024, but is 64x32"),
        (CURRENT, [an_input(), an_input("mask", has_alpha=False)], "its transparent part is repainted"),
    ],
)
def test_a_refusal_says_what_would_be_right(name: str, inputs: list[InputImage], says: str) -> None:
    assert says in str(refusal(name, *inputs))


def test_a_mask_belongs_to_the_first_image() -> None:
    small, large = an_input(width=64, height=64), an_input()

    check_inputs(model(CURRENT), Operation.EDIT, (large, small, an_input("mask")))
    refused = refusal(CURRENT, small, large, an_input("mask"))

    assert refused.param == "mask"


@pytest.mark.parametrize("role", ["mask", "markup"])
def test_every_mask_is_checked(role: str) -> None:
    """Two of them are one too many, whichever is the good one."""
    good, bad = an_input(role), an_input(role, width=1)

    for pair in [(good, bad), (bad, good), (good, good)]:
        assert refusal(MARKING, an_input(), *pair).param == role


def test_a_variation_takes_exactly_one_image() -> None:
    check_inputs(model(OLD), Operation.VARY, (an_input(),))

    for inputs, param, code in [
        ((), "image", "missing_required_parameter"),
        ((an_input(), an_input()), "image", "array_above_max_length"),
        ((an_input(), an_input("mask")), "mask", "unknown_parameter"),
        ((an_input(), an_input("markup")), "markup", "unknown_parameter"),
        ((an_input(width=512),), "image", "invalid_image_format"),
        ((an_input(format="jpeg"),), "image", "unsupported_file_mimetype"),
        ((an_input(size_bytes=4 * MIB + 1),), "image", "image_file_too_large"),
    ]:
        refused = refusal(OLD, *inputs, operation=Operation.VARY)
        assert (refused.param, refused.code) == (param, code)


def test_a_bridged_model_takes_the_inputs_of_its_target() -> None:
    bridged = widen(model(OLD), model(MARKING))
    wide = an_input(format="webp", width=1200, height=800, size_bytes=20 * MIB)

    check_inputs(bridged, Operation.EDIT, (wide,) * 16)
    check_inputs(bridged, Operation.VARY, (wide,))


@pytest.mark.parametrize(
    ("operation", "parameters", "param"),
    [
        (Operation.EDIT, {"style": "vivid"}, "style"),
        (Operation.GENERATE, {"input_fidelity": "high"}, "input_fidelity"),
    ],
)
def test_a_parameter_of_another_endpoint_is_unknown(
    operation: Operation, parameters: dict[str, Any], param: str
) -> None:
    inputs = () if operation is Operation.GENERATE else (an_input(),)

    with pytest.raises(InvalidOrder) as caught:
        check_order(
            model("gpt-image-1.5"),
            prompt="A lighthouse",
            n=1,
            parameters=parameters,
            operation=operation,
            inputs=inputs,
        )

    assert (caught.value.param, caught.value.code) == (param, "unknown_parameter")


def test_a_model_without_fidelity_says_so_as_the_provider_does() -> None:
    with pytest.raises(InvalidOrder) as caught:
        check_order(
            model(CURRENT),
            prompt="A lighthouse",
            n=1,
            parameters={"input_fidelity": "high"},
            operation=Operation.EDIT,
            inputs=(an_input(),),
        )

    assert (caught.value.param, caught.value.code) == ("input_fidelity", "invalid_input_fidelity_model")
    assert caught.value.error_type == "image_generation_user_error"


PHOTO = an_input(width=48, height=64, orientation=6)


@pytest.mark.parametrize(
    ("inputs", "turns"),
    [
        ([], {}),
        ([an_input("mask", orientation=3)], {}),
        ([PHOTO], {}),
        ([an_input(width=48, height=64, orientation=6, has_alpha=True)], {0: 6}),
        ([PHOTO, an_input("mask", width=48, height=64)], {0: 6}),
        ([an_input("mask", width=48, height=64), PHOTO], {1: 6}),
        ([PHOTO, an_input("mask", width=64, height=48)], {0: 6, 1: 6}),
        ([PHOTO, PHOTO, an_input("markup", width=48, height=64)], {0: 6}),
        ([an_input(orientation=6), an_input("mask")], {0: 6}),
        ([an_input(orientation=3), an_input("mask")], {0: 3}),
        ([an_input(), an_input("mask", orientation=8)], {1: 8}),
        ([an_input(), an_input("mask")], {}),
    ],
    ids=range(12),
)
def test_photos_and_masks_are_turned_until_they_fit(inputs: list[InputImage], turns: dict[int, int]) -> None:
    assert turns_needed(tuple(inputs)) == turns
