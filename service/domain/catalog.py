"""The catalogue: every image model as data, read from TOML (`models.toml`).

Owns a model's parameters, prices and end of life. Does not judge orders (`validation`)
and does not translate them (`bridge`).
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal

from service.domain.entries import EntryFaults, read_entry, suggest
from service.domain.errors import InvalidOrder
from service.domain.images import Delivery, Operation


class CatalogError(ValueError):
    """The catalogue or an operator's additions to it are not well formed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterRule:
    """The values one parameter may have: one of *values*, an integer from *minimum* to *maximum*, or of *kind*.

    *kind* is `integer`, `boolean`, or `object`, which is passed on unread.
    *default* is the value the provider assumes when it is absent; naming it is the
    same order as leaving it out. *operations* empty means all.
    """

    values: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    kind: Literal["integer", "boolean", "object"] = "integer"
    default: str | int | None = None
    operations: tuple[Operation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRule:
    """The `WIDTHxHEIGHT` a model paints: those in *fixed*, and, where *multiple* > 0, all by rule."""

    fixed: tuple[str, ...] = ()
    multiple: int = 0
    max_ratio: float = 0.0
    max_edge: int = 0
    min_pixels: int = 0
    max_pixels: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRule:
    """The images a model takes as input; *needs_alpha* where there is no separate mask."""

    formats: tuple[str, ...] = ()
    max_bytes: int = 0
    max_images: int = 0
    mask_max_bytes: int = 4 * 1024 * 1024
    square: bool = False
    needs_alpha: bool = False
    takes_markup: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrice:
    """Micro-dollars per token."""

    text_in: float
    image_in: float
    image_out: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """The translation of a model's orders for the living model *to*, after its shutdown.

    *values* maps parameter → old value → new value; *prompt_suffix* maps
    parameter → value → words put after the prompt; *sizes* maps a size the
    target cannot paint to the one painted and resampled. *keeps_unmasked*: the
    model never touched the area a mask covers, and the gateway must not either.
    *variation_prompts* stand in for an endpoint that took none, one an image.
    """

    to: str
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    prompt_suffix: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    sizes: Mapping[str, str] = field(default_factory=dict)
    keeps_unmasked: bool = False
    variation_prompts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model under the name callers ask for.

    *images_per_call* is the most images that one provider call makes;
    *default_size* is empty where the provider chooses (`auto`). *weights* give, by quality,
    the number an image counts for against limits of images; `default` stands for the rest, else 1.
    *input_image_tokens* is the highest charge for one input image.
    """

    name: str
    family: str
    released: date
    sizes: SizeRule
    parameters: Mapping[str, ParameterRule]
    prompt_limit: int
    images_per_call: int
    operations: tuple[Operation, ...] = (Operation.GENERATE,)
    inputs: InputRule = field(default_factory=InputRule)
    delivery: Delivery = Delivery.B64_JSON
    default_size: str = ""
    shutdown: date | None = None
    bridge: Bridge | None = None
    price: TokenPrice | None = None
    price_per_image: Mapping[str, int] = field(default_factory=dict)
    output_tokens: Mapping[str, int] = field(default_factory=dict)
    weights: Mapping[str, int] = field(default_factory=dict)
    input_image_tokens: int = 0
    answers_usage: bool = True
    answers_revised_prompt: bool = False
    takes_response_format: bool = False

    def is_bridged(self, today: date) -> bool:
        """Tell if another model answers for this one today."""
        return self.bridge is not None and (self.shutdown is None or self.shutdown <= today)


@dataclass(frozen=True, slots=True)
class Catalog:
    """All models by name, and the default one."""

    models: Mapping[str, Model]
    default_model: str
    default_gpt_image_model: str

    def find(self, name: str) -> Model:
        """Return the model *name*.

        Raises:
            InvalidOrder: it is unknown; 400 and not 404, as the provider answers.
        """
        model = self.models.get(name)
        if model is None:
            raise InvalidOrder(
                f"The model '{name[:100]}' does not exist. GET /v1/models lists the models of this gateway.",
                param="model",
                error_type="image_generation_user_error",
            )
        return model

    def name_for(self, parameters: Mapping[str, Any]) -> str:
        """Return the default model of an order that names none.

        The contract's default, unless the order has a parameter that only GPT image
        models know.
        """
        own = self.models[self.default_model].parameters
        newer = self.models[self.default_gpt_image_model].parameters
        if any(name in newer and name not in own for name in parameters):
            return self.default_gpt_image_model
        return self.default_model


def parse_catalog(text: str, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Catalog:
    """Read the catalogue from TOML, with an operator's entries laid over it.

    An override with `bridge = false` switches a bridge off, and one with
    `price = false` has no known price; fields not named keep their value, and
    an unknown model needs a complete entry (a `family` completes it).

    Raises:
        CatalogError: naming the model and every fault of its entry, a line for each.
    """
    document = tomllib.loads(text)
    families = document["families"]
    entries: dict[str, dict[str, Any]] = {name: dict(entry) for name, entry in document["models"].items()}
    for name, entry in (overrides or {}).items():
        if name not in entries and "family" not in entry:
            near = suggest(name, document["models"])
            raise CatalogError(
                f"models.{name}: family is missing: one of {', '.join(families)} in a new model{near}"
            )
        entries[name] = _merge(entries.get(name, {}), entry)
    models = {name: _parse_model(name, entry, families) for name, entry in entries.items()}
    defaults = document["defaults"]
    catalog = Catalog(models, defaults["model"], defaults["gpt_image_model"])
    _check_bridges(catalog)
    return catalog


def is_size_allowed(rule: SizeRule, size: str) -> bool:
    """Tell if the rule paints *size* (`auto` or `WIDTHxHEIGHT`)."""
    if size in rule.fixed:
        return True
    pixels = parse_size(size)
    return pixels is not None and rule.multiple > 0 and broken_size_rule(rule, *pixels) is None


def broken_size_rule(rule: SizeRule, width: int, height: int) -> str | None:
    """Return the part of a free size rule that *width* x *height* breaks, in the provider's words."""
    longest, shortest, pixels = max(width, height), min(width, height), width * height
    if width % rule.multiple or height % rule.multiple:
        return f"Width and height must both be divisible by {rule.multiple}."
    if longest > rule.max_edge:
        return f"The longest edge must be less than or equal to {rule.max_edge}."
    if shortest == 0 or longest > rule.max_ratio * shortest:
        return f"The ratio of the longer to the shorter edge must not exceed {rule.max_ratio:g}:1."
    if pixels < rule.min_pixels:
        return "Requested resolution is below the current minimum pixel budget."
    if pixels > rule.max_pixels:
        return "Requested resolution exceeds the current pixel budget."
    return None


def parse_size(size: str) -> tuple[int, int] | None:
    """Return the pixels of a canonical `WIDTHxHEIGHT` (no signs, no leading zeros), or None."""
    width, separator, height = size.partition("x")
    if not separator or not _is_plain_number(width) or not _is_plain_number(height):
        return None
    return int(width), int(height)


def pixels_of(model: Model, size: object) -> int:
    """Return the most pixels an image of *size* can have; `LARGEST_AUTO` where the provider chooses."""
    width, height = parse_size(str(size or model.default_size)) or LARGEST_AUTO
    return width * height


LARGEST_AUTO = (1536, 1024)
"""The largest size that `auto` resolves to (API reference, `size`, 2026-11)."""


def _is_plain_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and not text.startswith("0")


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _parse_model(name: str, entry: Mapping[str, Any], families: Mapping[str, Mapping[str, Any]]) -> Model:
    family = entry.get("family")
    if not isinstance(family, str) or family not in families:
        raise CatalogError(f"models.{name}: family must be one of {', '.join(families)}")
    fields = _merge(families[family], entry)
    weights = fields.get("weights")
    if isinstance(weights, Mapping) and any(type(each) is not int or each < 1 for each in weights.values()):
        raise CatalogError(f"models.{name}: weights must be whole numbers of at least 1")
    switched_off = [key for key in ("bridge", "price") if fields.get(key) is False]
    try:
        return read_entry(Model, {key: fields[key] for key in fields if key not in switched_off}, name=name)
    except EntryFaults as error:
        raise CatalogError("\n".join(f"models.{name}: {fault}" for fault in error.faults)) from error


def _check_bridges(catalog: Catalog) -> None:
    for name in (catalog.default_model, catalog.default_gpt_image_model):
        if name not in catalog.models:
            raise CatalogError(f"defaults: there is no model {name}")
    for model in catalog.models.values():
        target = catalog.models.get(model.bridge.to) if model.bridge else None
        if model.bridge and target is None:
            near = suggest(model.bridge.to, catalog.models)
            raise CatalogError(f"models.{model.name}.bridge.to: there is no model {model.bridge.to}{near}")
        if model.bridge and target and target.bridge is not None:
            raise CatalogError(
                f"models.{model.name}.bridge.to: {model.bridge.to} must be a model without a bridge"
            )


def widen(model: Model, target: Model) -> Model:
    """Return *model* as its bridge accepts it: its own contract and all the target takes.

    Callers of a retired model may use either vocabulary.
    """
    parameters = {**target.parameters, **model.parameters}
    for name in model.parameters.keys() & target.parameters.keys():
        old, new = model.parameters[name], target.parameters[name]
        parameters[name] = replace(old, values=tuple(dict.fromkeys(old.values + new.values)))
    return replace(
        model,
        parameters=parameters,
        sizes=replace(target.sizes, fixed=tuple(dict.fromkeys(model.sizes.fixed + target.sizes.fixed))),
        prompt_limit=max(model.prompt_limit, target.prompt_limit),
        inputs=target.inputs,
        operations=tuple(dict.fromkeys(model.operations + target.operations)),
    )
