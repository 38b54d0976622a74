from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from service.domain.catalog import CatalogError, ParameterRule, pixels_of, widen
from service.domain.errors import InvalidOrder
from service.domain.images import Delivery, Operation
from service.domain.models_file import parse_catalog
from service.domain.sizes import LARGEST_AUTO, SizeRule, broken_size_rules, is_size_allowed, parse_size
from service.sandbox.rules.models import Catalogue
from tests.fakes.values import a_catalog, builtin_models

BY_RULE = SizeRule(
    fixed=("auto",), multiple=16, max_ratio=3, max_edge=3840, min_pixels=655_360, max_pixels=8_294_400
)
DEFAULTS = '[defaults]\nmodel = "a"\ngpt_image_model = "a"\n'
FAMILY = """
[families.plain]
delivery = "url"
prompt_limit = 10
images_per_call = 1
sizes = { fixed = ["1x1"] }
parameters = {}
"""
MODEL_A = '[models.a]\nfamily = "plain"\nreleased = 2026-01-01\n'


def test_an_entry_completes_what_its_family_says() -> None:
    model = a_catalog().models["gpt-image-2.5-flare"]

    assert model.contract.prompt_limit == 32_000
    assert model.contract.parameters["quality"].values == ("low", "medium", "high", "xhigh", "max", "auto")
    assert model.contract.parameters["output_compression"] == ParameterRule(
        minimum=0, maximum=100, default=100
    )
    assert model.contract.sizes == BY_RULE
    assert model.delivery is Delivery.B64_JSON


def test_dalle_answers_with_links_and_without_usage() -> None:
    model = a_catalog().models["dall-e-3"]

    assert (model.delivery, model.answers_usage, model.answers_revised_prompt) == (Delivery.URL, False, True)
    assert (model.images_per_call, model.contract.default_size) == (1, "1024x1024")
    assert model.costs.price_per_image["hd/1792x1024"] == 120_000


def test_every_bridge_ends_at_a_current_model() -> None:
    catalog = a_catalog()

    targets = [catalog.models[model.bridge.to] for model in catalog.models.values() if model.bridge]

    assert targets
    assert [target.name for target in targets if target.shutdown is not None] == []


def test_every_retired_model_has_a_bridge() -> None:
    assert [model.name for model in a_catalog().models.values() if model.shutdown and not model.bridge] == []


@pytest.mark.parametrize(
    ("name", "today", "is_bridged"),
    [
        ("gpt-image-1.5", date(2026, 11, 30), False),
        ("gpt-image-1.5", date(2026, 12, 1), True),
        ("dall-e-3", date(2026, 5, 11), False),
        ("dall-e-3", date(2026, 5, 12), True),
        ("gpt-image-2.6-flare", date(2030, 1, 1), False),
    ],
)
def test_a_bridge_takes_over_on_the_day_of_the_shutdown(name: str, today: date, *, is_bridged: bool) -> None:
    assert a_catalog().models[name].is_bridged(today) is is_bridged


def test_fewer_models_make_images_from_the_day_of_a_shutdown() -> None:
    before, after = (set(a_catalog().sent_models(date(2026, *day))) for day in ((11, 30), (12, 1)))

    assert before - after == {
        "chatgpt-image-latest",
        "gpt-image-1-mini",
        "gpt-image-1.5",
        "gpt-image-1.5-2025-12-16",
    }
    assert after == {name for name, model in a_catalog().models.items() if model.bridge is None}


def test_a_model_without_a_shutdown_date_is_bridged_at_once() -> None:
    catalog = parse_catalog(builtin_models(), {"gpt-image-2": {"bridge": {"to": "gpt-image-2.6-flare"}}})

    assert catalog.models["gpt-image-2"].is_bridged(date(2026, 1, 1))


def test_an_override_keeps_other_fields() -> None:
    catalog = parse_catalog(
        builtin_models(),
        {"gpt-image-2": {"prompt_limit": 5, "price": {"text_in": 1}, "sizes": {"multiple": 32}}},
    )

    model, before = catalog.models["gpt-image-2"], a_catalog().models["gpt-image-2"]
    assert model.costs.price is not None
    assert before.costs.price is not None
    assert model == replace(
        before,
        contract=replace(before.contract, prompt_limit=5, sizes=replace(before.contract.sizes, multiple=32)),
        costs=replace(before.costs, price=replace(before.costs.price, text_in=1)),
    )
    assert catalog.models["dall-e-3"] == a_catalog().models["dall-e-3"]


def test_an_override_switches_a_bridge_off() -> None:
    model = parse_catalog(builtin_models(), {"dall-e-3": {"bridge": False}}).models["dall-e-3"]

    assert model.bridge is None
    assert not model.is_bridged(date(2026, 11, 20))


def test_an_override_redirects_a_bridge_and_keeps_its_translations() -> None:
    model = parse_catalog(builtin_models(), {"dall-e-3": {"bridge": {"to": "gpt-image-2"}}}).models[
        "dall-e-3"
    ]

    assert model.bridge is not None
    assert model.bridge.to == "gpt-image-2"
    assert model.bridge.values == {"quality": {"standard": "medium", "hd": "high"}}


def test_an_operator_adds_a_model_with_a_family() -> None:
    entry = {"family": "gpt-image", "released": date(2026, 11, 19)}

    model = parse_catalog(builtin_models(), {"gpt-image-3": entry}).models["gpt-image-3"]

    assert (model.name, model.contract.prompt_limit) == ("gpt-image-3", 32_000)


@pytest.mark.parametrize(
    ("name", "entry", "says"),
    [
        ("new", {"released": date(2026, 1, 1)}, "family is missing: one of gpt-image, gpt-image-1, dall-e"),
        ("new", {"family": "gpt-image"}, "released"),
        ("new", {"family": ["gpt-image"]}, "family must be one of"),
        ("new", {"family": "dall-e", "released": date(2026, 1, 1)}, "sizes"),
        ("gpt-image-2", {"colour": "red"}, "colour"),
        ("gpt-image-2", {"delivery": "fax"}, "fax"),
        ("gpt-image-2", {"price": {"text_in": 1, "per_word": 2}}, "per_word"),
        ("new", {"family": "gpt-image"}, "released is missing: a date such as 2026-01-31"),
        ("new", {"family": "gpt-image", "realesed": 1}, "realesed is no field (did you mean released?)"),
        (
            "new",
            {"family": "gpt-image", "released": "2026"},
            "released must be a date such as 2026-01-31, not a string",
        ),
        ("dalle-3", {"bridge": False}, "in a new model (did you mean dall-e-3?)"),
        ("gpt-image-2", {"name": "x"}, "name is no field"),
        ("gpt-image-2", {"colour": "red"}, "colour is no field"),
        ("gpt-image-2", {"delivery": "fax"}, "delivery must be one of url, b64_json, not 'fax'"),
        (
            "gpt-image-2",
            {"operations": ["paint"]},
            "operations[0] must be one of generate, edit, vary, not 'paint'",
        ),
        ("gpt-image-2", {"price": {"image_in": "free"}}, "price.image_in must be a number, not a string"),
        (
            "gpt-image-2",
            {"price": 5},
            "price must be a table of text_in, image_in, image_out, text_out, not a whole number",
        ),
        ("gpt-image-2", {"sizes": "1024x1024"}, "sizes must be a table of fixed, "),
        ("gpt-image-2", {"sizes": {"fixed": "1024x1024"}}, "sizes.fixed must be a list, not a string"),
        ("gpt-image-2", {"prompt_limit": True}, "prompt_limit must be a whole number, not true or false"),
        (
            "gpt-image-2",
            {"parameters": {"quality": ["low"]}},
            "parameters.quality must be a table of values, ",
        ),
        (
            "gpt-image-2",
            {"parameters": {"seed": {"kind": "int"}}},
            "kind must be one of integer, boolean, object",
        ),
        (
            "gpt-image-2",
            {"parameters": {"seed": {"default": 1.5}}},
            "default must be a string or a whole number",
        ),
        ("gpt-image-2", {"bridge": {"keeps_unmasked": True}}, "bridge.to is missing: a string"),
        ("gpt-image-2", {"bridge": {"to": "nowhere"}}, "bridge.to: there is no model nowhere"),
        (
            "gpt-image-2",
            {"bridge": {"to": "dall-e-3"}},
            "bridge.to: dall-e-3 must be a model without a bridge",
        ),
    ],
)
def test_a_malformed_entry_is_named(name: str, entry: Mapping[str, Any], says: str) -> None:
    with pytest.raises(CatalogError) as caught:
        parse_catalog(builtin_models(), {name: entry})

    assert str(caught.value).startswith(f"models.{name}")
    assert says in str(caught.value)


def test_every_fault_of_a_model_has_a_line_of_its_own() -> None:
    entry = {
        "family": "dall-e",
        "releasd": 1,
        "images_per_call": "two",
        "sizes": {"fixed": ["1x1"], "steps": 2},
    }

    with pytest.raises(CatalogError) as caught:
        parse_catalog(builtin_models(), {"new": entry})

    assert str(caught.value).splitlines() == [
        "models.new: releasd is no field (did you mean released?)",
        "models.new: released is missing: a date such as 2026-01-31",
        "models.new: parameters is missing: a table",
        "models.new: prompt_limit is missing: a whole number",
        "models.new: images_per_call must be a whole number, not a string",
        "models.new: sizes.steps is no field",
    ]


def test_a_price_that_is_switched_off_is_not_known() -> None:
    model = parse_catalog(builtin_models(), {"gpt-image-2": {"price": False}}).models["gpt-image-2"]

    assert model.costs.price is None


def test_parameters_that_are_no_table_are_named() -> None:
    with pytest.raises(CatalogError, match=r"models\.gpt-image-2"):
        parse_catalog(builtin_models(), {"gpt-image-2": {"parameters": "quality"}})


@pytest.mark.parametrize("key", ["model", "gpt_image_model"])
def test_a_default_must_be_a_model(key: str) -> None:
    defaults = DEFAULTS.replace(f'{key} = "a"', f'{key} = "b"')

    with pytest.raises(CatalogError, match="defaults: there is no model b"):
        parse_catalog(defaults + FAMILY + MODEL_A)


def test_a_model_is_found_by_its_name() -> None:
    assert a_catalog().find("dall-e-2").name == "dall-e-2"


def test_an_unknown_model_is_the_callers_mistake() -> None:
    with pytest.raises(InvalidOrder) as caught:
        a_catalog().find("midjourney" * 100)

    assert (caught.value.param, caught.value.code) == ("model", "invalid_value")
    assert caught.value.error_type == "image_generation_user_error"
    assert "/v1/models" in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("operation", "parameters", "name"),
    [
        (Operation.GENERATE, {}, "dall-e-2"),
        (Operation.GENERATE, {"size": "256x256"}, "dall-e-2"),
        (Operation.GENERATE, {"quality": "hd"}, "dall-e-2"),
        (Operation.GENERATE, {"style": "vivid"}, "dall-e-2"),
        (Operation.GENERATE, {"background": "opaque"}, "gpt-image-2.6-flare"),
        (Operation.EDIT, {"size": "auto", "output_format": "webp"}, "gpt-image-2.6-flare"),
        # GPT image models make no variations, so naming one would hide which parameter is wrong.
        (Operation.VARY, {"background": "opaque"}, "dall-e-2"),
    ],
)
def test_the_default_model_depends_on_the_parameters(
    operation: Operation, parameters: Mapping[str, Any], name: str
) -> None:
    assert a_catalog().name_for(operation, parameters) == name


@pytest.mark.parametrize(
    ("text", "pixels"),
    [
        ("1024x1536", (1024, 1536)),
        ("1x99999", (1, 99_999)),
        ("auto", None),
        ("1024", None),
        ("1024x", None),
        ("x1024", None),
        ("0x16", None),
        ("016x16", None),
        ("+16x16", None),
        ("16 x16", None),
        ("16x16x16", None),
        ("16X16", None),
        ("\u0661\u0666x16", None),
        ("16x100000", None),
    ],
)
def test_only_plain_sizes_are_read(text: str, pixels: tuple[int, int] | None) -> None:
    assert parse_size(text) == pixels


@pytest.mark.parametrize(
    ("width", "height", "says"),
    [
        (1024, 1024, None),
        (3840, 2160, None),
        (2160, 3840, None),
        (1024, 640, None),
        (1000, 1024, "divisible by 16"),
        (1024, 1000, "divisible by 16"),
        (3856, 2160, "longest edge"),
        (2160, 3856, "longest edge"),
        (1536, 512, None),
        (1552, 512, "ratio"),
        (512, 1552, "ratio"),
        (16, 0, "ratio"),
        (1008, 640, "minimum pixel budget"),
        (3840, 2176, "exceeds the current pixel budget"),
    ],
)
def test_free_sizes_by_rule(width: int, height: int, says: str | None) -> None:
    broken = broken_size_rules(BY_RULE, width, height)

    assert bool(broken) is (says is not None)
    assert (says or "") in " ".join(broken)
    assert is_size_allowed(BY_RULE, f"{width}x{height}") is (says is None)


def test_all_broken_rules_are_named_at_once() -> None:
    assert broken_size_rules(BY_RULE, 4000, 100) == [
        "Width and height must both be divisible by 16.",
        "The longest edge must be less than or equal to 3840.",
        "The ratio of the longer to the shorter edge must not exceed 3:1.",
        "Requested resolution is below the current minimum pixel budget: 400000 of 655360 pixels.",
    ]


def test_a_fixed_list_takes_nothing_else() -> None:
    rule = SizeRule(fixed=("1024x1024",))

    assert is_size_allowed(rule, "1024x1024")
    assert not is_size_allowed(rule, "auto")
    assert not is_size_allowed(rule, "512x512")


def test_a_bridged_model_takes_its_own_values_and_its_targets() -> None:
    models = a_catalog().models

    wide = widen(models["dall-e-3"], models["gpt-image-2.6-flare"])

    assert wide.contract.parameters["quality"].values == (
        "standard",
        "hd",
        "low",
        "medium",
        "high",
        "xhigh",
        "max",
        "auto",
    )
    assert wide.contract.parameters["quality"].default == "standard"
    assert wide.contract.parameters["style"] == models["dall-e-3"].contract.parameters["style"]
    assert (
        wide.contract.parameters["complexity"]
        == models["gpt-image-2.6-flare"].contract.parameters["complexity"]
    )
    assert wide.contract.sizes.fixed == ("1024x1024", "1792x1024", "1024x1792", "auto")
    assert wide.contract.sizes.multiple == 16
    assert wide.contract.prompt_limit == 32_000
    assert (wide.name, wide.images_per_call, wide.delivery) == ("dall-e-3", 1, Delivery.URL)


def test_widening_never_narrows_the_prompt() -> None:
    models = a_catalog().models

    wide = widen(models["gpt-image-2"], models["dall-e-2"])

    assert wide.contract.prompt_limit == 32_000


def test_weights_are_read_by_quality() -> None:
    catalog = parse_catalog(DEFAULTS + FAMILY + MODEL_A, {"a": {"weights": {"high": 4, "default": 2}}})

    assert catalog.models["a"].costs.weights == {"high": 4, "default": 2}


def test_without_weights_every_image_is_one() -> None:
    assert parse_catalog(DEFAULTS + FAMILY + MODEL_A).models["a"].costs.weights == {}


@pytest.mark.parametrize("weight", [0, -1, 1.5, "2", True, None])
def test_a_weight_that_is_no_whole_number_of_images_names_its_model(weight: Any) -> None:
    with pytest.raises(CatalogError, match=r"^models\.a: weights must be whole numbers of at least 1$"):
        parse_catalog(DEFAULTS + FAMILY + MODEL_A, {"a": {"weights": {"high": 4, "low": weight}}})


def test_weights_that_are_no_table_name_their_model() -> None:
    with pytest.raises(CatalogError, match=r"^models\.a: "):
        parse_catalog(DEFAULTS + FAMILY + MODEL_A, {"a": {"weights": 4}})


@pytest.mark.parametrize(
    ("name", "size", "pixels"),
    [
        ("gpt-image-2", "2048x1024", 2048 * 1024),
        ("gpt-image-2", "auto", LARGEST_AUTO[0] * LARGEST_AUTO[1]),
        ("gpt-image-2", None, LARGEST_AUTO[0] * LARGEST_AUTO[1]),
        ("dall-e-3", None, 1024 * 1024),
        ("dall-e-3", "1792x1024", 1792 * 1024),
        ("dall-e-2", "256x256", 256 * 256),
    ],
)
def test_an_image_has_the_pixels_of_its_size_or_the_most_that_could_be_chosen(
    name: str, size: str | None, pixels: int
) -> None:
    assert pixels_of(a_catalog().models[name], size) == pixels


def test_catalogue_and_sandbox_name_the_same_models_that_take_a_markup() -> None:
    """Both follow the API reference of 2026-11, each on its own: GPT Image 2.5."""
    takers = {name for name, model in a_catalog().models.items() if model.contract.inputs.takes_markup}

    assert takers == {model.name for model in Catalogue().alive().values() if model.has_markup}
    assert {name[:15] for name in takers} == {"gpt-image-2.5-s", "gpt-image-2.5-f"}
