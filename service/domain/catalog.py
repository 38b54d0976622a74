"""Define the catalogue of all image models, with their parameters, prices and end of life.

`models_file` reads it and `serving` joins it with backends; `validation` checks orders by it, `bridge` translates them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal

from service.domain.backends import Offer
from service.domain.entries import INLINE
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """The way of the orders for a model by one operation on one *day*.

    *contract_of* has the contract that they keep: the model's own, or as its *successor* widens it, which makes their images.
    *backends* may make them, the preferred first, none of them named if one provider makes all. If it *is_plain*, each of
    them makes all formats and several images a call, and no other may help out by the bridge. Unless it *is_orderable*, none
    makes images of the model by any operation.
    """

    day: date
    is_orderable: bool
    successor: Model | None
    contract_of: Model
    backends: tuple[str, ...]
    is_plain: bool


@dataclass(frozen=True, slots=True)
class Catalog:
    """All models by name, and the default one.

    With *offers*, a model is made under its own name where a backend serves it, whatever the provider's date (`serving`
    adds them); without any, one provider makes all until their dates.
    """

    models: Mapping[str, Model]
    default_model: str
    default_gpt_image_model: str
    offers: tuple[Offer, ...] = ()
    _ways: "dict[tuple[str, Operation], Way]" = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

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

    def way_of(self, model: Model, today: date, operation: Operation) -> Way:
        """Return the way of orders for *model* by *operation* today, found once a day."""
        known = self._ways.get((model.name, operation))
        if known is None or known.day != today:
            known = self._ways[model.name, operation] = self._find_way(model, today, operation)
        return known

    def _find_way(self, model: Model, today: date, operation: Operation) -> Way:
        successor = self.successor_of(model, today, operation)
        sent = operation if successor is None else as_bridged(operation)
        backends = self.backends_of(successor or model, today, sent)
        offers = [offer for offer in self.offers if offer.backend in backends]
        is_alone = successor is not None or model.bridge is None
        return Way(
            day=today,
            is_orderable=self.is_orderable(model, today),
            successor=successor,
            contract_of=widen(model, successor) if successor else model,
            backends=backends,
            is_plain=not self.offers
            or (
                bool(offers)
                and is_alone
                and all(each.makes is None and each.makes_several for each in offers)
            ),
        )

    def successor_of(self, model: Model, today: date, operation: Operation | None = None) -> Model | None:
        """Return the model that makes the images of *model* today, if it is another; with *operation*, of such orders."""
        if model.bridge is None or not self._needs_bridge(model, today, operation):
            return None
        successor = self.models[model.bridge.to]
        if self.offers and not self.backends_of(successor, today, operation and as_bridged(operation)):
            return None
        return successor

    def as_ordered(self, model: Model, today: date) -> Model:
        """Return *model* as callers may order it today: a bridged one takes what its successor takes, too."""
        successor = self.successor_of(model, today)
        ordered = widen(model, successor) if successor else model
        if not self.offers:
            return ordered
        offered = [each for each in ordered.contract.operations if self.is_orderable(model, today, each)]
        return replace(ordered, contract=replace(ordered.contract, operations=tuple(offered)))

    def is_orderable(self, model: Model, today: date, operation: Operation | None = None) -> bool:
        """Tell if a backend makes the images of *model* today, by its own name or by the bridge."""
        return (
            not self.offers
            or bool(self.backends_of(model, today, operation))
            or self.successor_of(model, today, operation) is not None
        )

    def orderable(self, today: date) -> list[Model]:
        """Return the models that callers may order today."""
        return [model for model in self.models.values() if self.is_orderable(model, today)]

    def backends_of(self, model: Model, today: date, operation: Operation | None = None) -> tuple[str, ...]:
        """Return the backends that serve *model* today under its own name, in the order of the offers."""
        return tuple([offer.backend for offer in self.offers if offer.serves(model.name, today, operation)])

    def sent_models(self, today: date, backend: str = "") -> tuple[str, ...]:
        """Return the names of the models that make images today, all or those of a *backend*; later there are fewer, never others."""
        if self.offers:
            by = {name: self.backends_of(model, today) for name, model in self.models.items()}
            return tuple(
                [name for name, backends in by.items() if (backend in backends if backend else backends)]
            )
        return tuple(name for name, model in self.models.items() if not model.is_bridged(today))

    def _needs_bridge(self, model: Model, today: date, operation: Operation | None) -> bool:
        if not self.offers:
            return model.is_bridged(today)
        # An operation that the model itself does not know is refused as ever, not bridged.
        is_known = operation is None or operation in model.contract.operations
        return not self.backends_of(model, today, operation if is_known else None)

    def name_for(self, operation: Operation, parameters: Mapping[str, Any]) -> str:
        """Return the default model of an order with *parameters*, some of which only GPT image models know."""
        own = self.models[self.default_model].contract.parameters
        newer = self.models[self.default_gpt_image_model].contract
        takes_it = operation in newer.operations
        if takes_it and any(name in newer.parameters and name not in own for name in parameters):
            return self.default_gpt_image_model
        return self.default_model


def as_bridged(operation: Operation) -> Operation:
    """Return the operation of an order once it is bridged: no current model has variations, so they are edits."""
    return Operation.EDIT if operation is Operation.VARY else operation


def pixels_of(model: Model, size: object) -> int:
    """Return the most pixels an image of *size* can have; `LARGEST_AUTO` where the provider chooses."""
    width, height = parse_size(str(size or model.contract.default_size)) or LARGEST_AUTO
    return width * height


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
