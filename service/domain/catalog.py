"""Read the catalogue of all image models, with their parameters, prices and end of life, from `models.toml`.

`validation` checks orders by it, `bridge` translates them.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal

from service.domain.entries import INLINE, EntryFaults, read_entry, suggest
from service.domain.errors import InvalidOrder
from service.domain.images import Delivery, Operation
from service.domain.sizes import LARGEST_AUTO, SizeRule, parse_size
from service.domain.unknown import LONGEST_SHOWN, ask_for_nearest


class CatalogError(ValueError):
    """A fault in the catalogue or in an operator's entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterRule:
    """The values of one parameter: one of *values*, an integer from *minimum* to *maximum*, or of *kind*.

    An `object` is passed on unread. *default* is the value that the provider assumes: an order that names
    it equals an order without it. *operations* empty means all.
    """

    values: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    kind: Literal["integer", "boolean", "object"] = "integer"
    default: str | int | None = None
    operations: tuple[Operation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRule:
    """The images a model takes as input; *needs_alpha* applies without a separate mask."""

    formats: tuple[str, ...] = ()
    max_bytes: int = 0
    max_images: int = 0
    mask_max_bytes: int = 4 * 1024 * 1024
    square: bool = False
    needs_alpha: bool = False
    takes_markup: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrice:
    """Micro-dollars per token; text output without a price of its own costs as much as an image's."""

    text_in: float
    image_in: float
    image_out: float
    text_out: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """The translation of a model's orders for the current model *to*, after its shutdown.

    *values* maps parameter → old value → new value; *prompt_suffix* maps parameter → value → words after
    the prompt; *sizes* maps a size that the target does not make to the one made and resampled.
    *ignores* maps parameter → values of other models, which clients send regardless and which change nothing.
    *keeps_unmasked*: the area a mask covers stays as it was. *variation_prompts* replace the prompt that the
    variations endpoint did not take, one for each image.
    """

    to: str
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    prompt_suffix: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    sizes: Mapping[str, str] = field(default_factory=dict)
    ignores: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keeps_unmasked: bool = False
    variation_prompts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The orders a model takes; *default_size* is empty where the provider chooses (`auto`)."""

    sizes: SizeRule
    parameters: Mapping[str, ParameterRule]
    prompt_limit: int
    operations: tuple[Operation, ...] = (Operation.GENERATE,)
    inputs: InputRule = field(default_factory=InputRule)
    default_size: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The costs of an image, in money and against limits.

    *weights* give, by quality, the number an image counts for against limits of images (1 without one for
    it or `default`). *input_image_tokens* is the highest charge for one input image.
    """

    price: TokenPrice | None = None
    price_per_image: Mapping[str, int] = field(default_factory=dict)
    output_tokens: Mapping[str, int] = field(default_factory=dict)
    weights: Mapping[str, int] = field(default_factory=dict)
    input_image_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model under the name callers ask for; in TOML, *contract* and *costs* are inlined.

    *images_per_call* is the most images that one provider call makes.
    """

    name: str
    family: str
    released: date
    contract: Contract = field(metadata=INLINE)
    images_per_call: int
    delivery: Delivery = Delivery.B64_JSON
    shutdown: date | None = None
    bridge: Bridge | None = None
    costs: Costs = field(default_factory=Costs, metadata=INLINE)
    answers_usage: bool = True
    answers_revised_prompt: bool = False
    takes_response_format: bool = False

    def is_bridged(self, today: date) -> bool:
        """Tell if another model makes the images today."""
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
            InvalidOrder: it is unknown; the status is 400, as at the provider.
        """
        model = self.models.get(name)
        if model is None:
            raise InvalidOrder(
                f"The model '{name[:LONGEST_SHOWN]}' does not exist.{ask_for_nearest(name, self.models)} "
                "GET /v1/models lists the models of this gateway; its operator adds others in the file of GATEWAY_CONFIG.",
                param="model",
                error_type="image_generation_user_error",
            )
        return model

    def successor_of(self, model: Model, today: date) -> Model | None:
        """Return the model that makes the images of *model* today, if it is another."""
        return self.models[model.bridge.to] if model.bridge and model.is_bridged(today) else None

    def as_ordered(self, model: Model, today: date) -> Model:
        """Return *model* as callers may order it today: a bridged one takes what its successor takes, too."""
        successor = self.successor_of(model, today)
        return widen(model, successor) if successor else model

    def sent_models(self, today: date) -> tuple[str, ...]:
        """Return the names of the models that make images today; on later days there are fewer, never others."""
        return tuple(name for name, model in self.models.items() if not model.is_bridged(today))

    def name_for(self, operation: Operation, parameters: Mapping[str, Any]) -> str:
        """Return the default model of an order with *parameters*, some of which only GPT image models know."""
        own = self.models[self.default_model].contract.parameters
        newer = self.models[self.default_gpt_image_model].contract
        takes_it = operation in newer.operations
        if takes_it and any(name in newer.parameters and name not in own for name in parameters):
            return self.default_gpt_image_model
        return self.default_model


def parse_catalog(text: str, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Catalog:
    """Read the catalogue from TOML, and merge an operator's entries into it.

    An override may switch off a `bridge` or a `price` with `false`; fields it leaves out keep their value,
    and a new model needs a complete entry (a `family` completes it).

    Raises:
        CatalogError: with a line for each fault of an entry.
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


def pixels_of(model: Model, size: object) -> int:
    """Return the most pixels an image of *size* can have; `LARGEST_AUTO` where the provider chooses."""
    width, height = parse_size(str(size or model.contract.default_size)) or LARGEST_AUTO
    return width * height


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
    """Return *model* as its bridge accepts it: with its own parameters and values, and the target's."""
    own, more = model.contract, target.contract
    parameters = {**more.parameters, **own.parameters}
    for name in own.parameters.keys() & more.parameters.keys():
        old, new = own.parameters[name], more.parameters[name]
        parameters[name] = replace(old, values=tuple(dict.fromkeys(old.values + new.values)))
    for name, values in (model.bridge.ignores if model.bridge else {}).items():
        rule = parameters.get(name, ParameterRule())
        parameters[name] = replace(rule, values=tuple(dict.fromkeys(rule.values + values)))
    contract = replace(
        own,
        parameters=parameters,
        sizes=replace(more.sizes, fixed=tuple(dict.fromkeys(own.sizes.fixed + more.sizes.fixed))),
        prompt_limit=max(own.prompt_limit, more.prompt_limit),
        inputs=more.inputs,
        operations=tuple(dict.fromkeys(own.operations + more.operations)),
    )
    return replace(model, contract=contract)
