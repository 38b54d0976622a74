"""Translate an order for any model into one for the model that makes it.

Pure translation by the catalogue's tables. A bridged image is ordered in exactly the asked size if the
current model makes it; only other sizes are made larger and resampled (`Finish`), because encoding a PNG
anew costs hundreds of milliseconds of CPU.
"""

from contextlib import suppress
from dataclasses import replace
from datetime import date
from typing import Any

from service.domain.catalog import Bridge, Catalog, Model, Way, as_bridged, widen
from service.domain.errors import InvalidOrder
from service.domain.failures import CallFailure, FailureKind
from service.domain.images import STILL_FORMATS, Cutout, Finish, InputImage, Operation, Parameters
from service.domain.order import ImageOrder, SentOrder
from service.domain.sizes import parse_size
from service.domain.validation import check_order, check_prompt_length

BRIDGE_VERSION = "1"
"""Part of every bridged fingerprint: raise it with every change to the translation."""

_DELIVERY = frozenset({"stream", "partial_images"})
"""Parameters that change the delivery of images, not the images."""
_ENDPOINTS = {
    Operation.GENERATE: "/v1/images/generations",
    Operation.EDIT: "/v1/images/edits",
    Operation.VARY: "/v1/images/variations",
}


def translate(
    catalog: Catalog,
    order: ImageOrder,
    today: date,
    *,
    pass_unknown: bool = False,
    needs_prompt: bool = True,
) -> SentOrder:
    """Check *order* and translate it for the model that makes it.

    *pass_unknown* passes on parameters that the catalogue does not know, to current models. Without *needs_prompt* its
    prompt may be blank.

    Raises:
        InvalidOrder: its model does not take it; nothing has been spent.
    """
    way = catalog.way_of(order.asked, today, order.operation)
    if not way.is_orderable:
        raise _unserved(catalog, order.asked)
    backends = way.backends if way.is_plain else ()
    sent = _translate_for(
        way.successor,
        way.contract_of,
        order,
        backends,
        is_unknown_passed=pass_unknown,
        needs_prompt=needs_prompt,
    )
    return sent if way.is_plain else _route(catalog, order, sent, way, needs_prompt=needs_prompt)


def _translate_for(
    successor: Model | None,
    contract_of: Model,
    order: ImageOrder,
    backends: tuple[str, ...] = (),
    *,
    is_unknown_passed: bool = False,
    needs_prompt: bool,
) -> SentOrder:
    """Check *order* by the contract of a model and translate it for *successor*, or for its own model if that is None.

    Raises `InvalidOrder`.
    """
    model = order.asked
    check_order(
        contract_of,
        prompt=order.prompt,
        n=order.n,
        parameters=order.parameters,
        operation=order.operation,
        inputs=order.inputs,
        is_streamed=order.is_streamed,
        needs_prompt=needs_prompt,
        # A retired model has a fixed contract.
        pass_unknown=is_unknown_passed and successor is None and model.family != "dall-e",
    )
    parameters = {name: value for name, value in order.parameters.items() if name not in _DELIVERY}
    if model.contract.default_size:
        parameters.setdefault("size", model.contract.default_size)
    if model.bridge is None or successor is None:
        return _send_as_asked(order, parameters, backends)
    return _send_bridged(model.bridge, successor, order, parameters, backends)


def _route(
    catalog: Catalog, order: ImageOrder, sent: SentOrder, way: Way, *, needs_prompt: bool
) -> SentOrder:
    """Return *sent* with the backends that may make it, and with its form for those that can make it by the bridge only.

    Raises:
        InvalidOrder: no backend offers its operation, or its format.
    """
    serving = way.backends
    if not serving:
        raise _not_offered(catalog, order.asked, way.day)
    backends = _giving(catalog, serving, sent)
    fallback = None
    if sent.target is order.asked and sent.target.bridge is not None:
        target = catalog.models[sent.target.bridge.to]
        able = catalog.backends_of(target, way.day, as_bridged(sent.operation))
        if others := tuple([name for name in able if name not in serving]):
            # The replacement may lack what the model itself takes.
            with suppress(InvalidOrder):
                bridged = _translate_for(target, widen(order.asked, target), order, needs_prompt=needs_prompt)
                if others := _giving(catalog, others, bridged):
                    fallback = _bound_calls(catalog, replace(bridged, backends=others))
    if not backends:
        if fallback is None:
            raise _not_given(sent)
        return fallback
    # A call that crosses to another backend has as many images there.
    most = min(sent.images_per_call, fallback.images_per_call) if fallback else sent.images_per_call
    return _bound_calls(catalog, replace(sent, backends=backends, fallback=fallback, images_per_call=most))


def _giving(catalog: Catalog, backends: tuple[str, ...], sent: SentOrder) -> tuple[str, ...]:
    """Return those of *backends* whose images can be given in the format of *sent*."""
    giving = {offer.backend for offer in catalog.offers if offer.gives(sent.output_format, sent.parameters)}
    return tuple([name for name in backends if name in giving])


def _bound_calls(catalog: Catalog, sent: SentOrder) -> SentOrder:
    """Return *sent* with one image a call if one of its backends makes no more."""
    makes_several = all(offer.makes_several for offer in catalog.offers if offer.backend in sent.backends)
    return sent if makes_several else replace(sent, images_per_call=1)


def _unserved(catalog: Catalog, model: Model) -> InvalidOrder:
    nor = f", and none serves '{model.bridge.to}', which replaces it" if model.bridge else ""
    default = (
        " It is the model of orders that name none."
        if model.name in (catalog.default_model, catalog.default_gpt_image_model)
        else ""
    )
    return InvalidOrder(
        f"The model '{model.name}' cannot be ordered: no backend of this gateway serves it{nor}.{default} "
        "GET /v1/models lists the models that can be ordered.",
        param="model",
        error_type="image_generation_user_error",
    )


def _not_offered(catalog: Catalog, model: Model, today: date) -> InvalidOrder:
    offered = [_ENDPOINTS[each] for each in catalog.as_ordered(model, today).contract.operations]
    return InvalidOrder(
        f"The model '{model.name}' does not support this endpoint: no backend of this gateway offers it. "
        f"Supported are: {', '.join(offered)}.",
        param="model",
        error_type="image_generation_user_error",
    )


def _not_given(sent: SentOrder) -> InvalidOrder:
    if sent.output_format not in STILL_FORMATS:
        return InvalidOrder(
            f"No backend of this gateway makes '{sent.output_format}' of the model '{sent.target.name}'; "
            f"use one of {', '.join(STILL_FORMATS)}.",
            param="output_format",
        )
    return InvalidOrder(
        f"No backend of this gateway makes transparent images of the model '{sent.target.name}'; "
        "use background 'opaque' or 'auto'.",
        param="background",
    )


def with_codes_of(model: Model, failure: CallFailure) -> CallFailure:
    """Return *failure* with the codes that *model* had: DALL·E named a refusal differently."""
    if failure.kind is not FailureKind.REFUSED or model.family != "dall-e":
        return failure
    return replace(failure, code="content_policy_violation", type="invalid_request_error")


def _send_as_asked(order: ImageOrder, parameters: Parameters, backends: tuple[str, ...]) -> SentOrder:
    model = order.asked
    return SentOrder(
        target=model,
        prompt=order.prompt,
        parameters={**_without_defaults(model, parameters), **_response_format(model)},
        images_per_call=model.images_per_call,
        output_format=str(parameters.get("output_format", "png")),
        operation=order.operation,
        inputs=order.inputs,
        partial_images=order.partial_images,
        backends=backends,
    )


def _send_bridged(
    bridge: Bridge, target: Model, order: ImageOrder, parameters: Parameters, backends: tuple[str, ...]
) -> SentOrder:
    model = order.asked
    known = {name: value for name, value in parameters.items() if value not in bridge.ignores.get(name, ())}
    asked = {**_defaults(model), **known}
    sent = {
        name: bridge.values.get(name, {}).get(str(value), value)
        for name, value in asked.items()
        if name == "size" or name in target.contract.parameters
    }
    size = str(sent.get("size", "auto"))
    inputs, cutout = _inputs(bridge, target, order)
    varies = order.operation is Operation.VARY
    return SentOrder(
        target=target,
        prompt=_bridged_prompt(bridge, target, order.prompt, asked),
        parameters={
            **_without_defaults(target, {**sent, "size": bridge.sizes.get(size, size)}),
            **_response_format(target),
        },
        images_per_call=1 if varies else min(model.images_per_call, target.images_per_call),
        output_format=str(sent.get("output_format", "png")),
        finish=_finish(size, cutout, order.parameters.get("output_compression")),
        bridge_version=BRIDGE_VERSION,
        operation=Operation.EDIT if varies else order.operation,
        inputs=inputs,
        instructions=bridge.variation_prompts if varies else (),
        partial_images=order.partial_images,
        backends=backends,
    )


def _finish(size: str, cutout: Cutout | None, compression: int | None) -> Finish | None:
    """Return the finish of an image of *size*; an edit without a size keeps its input's."""
    pixels = parse_size(size)
    if pixels is None and cutout is not None:
        pixels = (cutout.image.width, cutout.image.height)
    return Finish(*pixels, cutout, compression) if pixels else None


def _bridged_prompt(bridge: Bridge, target: Model, prompt: str, asked: Parameters) -> str:
    suffixes = [
        words[str(asked[name])]
        for name, words in bridge.prompt_suffix.items()
        if str(asked.get(name)) in words
    ]
    sent_prompt = "\n\n".join([prompt, *suffixes])
    if suffixes:
        check_prompt_length(prompt, target.contract.prompt_limit - (len(sent_prompt) - len(prompt)))
    return sent_prompt


def _inputs(bridge: Bridge, target: Model, order: ImageOrder) -> tuple[tuple[InputImage, ...], Cutout | None]:
    """Return the inputs to send, and the part of them that must not change.

    For a bridge that keeps the masked area, an image with alpha and no mask is its own mask. It is sent
    as one if the current model takes it; the gateway restores the covered area in any case.
    """
    is_moving = order.parameters.get("output_format") == "gif"
    if not bridge.keeps_unmasked or order.operation is not Operation.EDIT or is_moving:
        return order.inputs, None
    first = next(entry for entry in order.inputs if entry.role == "image")
    mask = next((entry for entry in order.inputs if entry.role == "mask"), None)
    if mask is not None:
        return order.inputs, Cutout(first, mask)
    if not first.has_alpha or first.format != "png":
        return order.inputs, None
    mask = replace(first, role="mask")
    takes_it = first.size_bytes <= target.contract.inputs.mask_max_bytes and not any(
        entry.role == "markup" for entry in order.inputs
    )
    return (*order.inputs, mask) if takes_it else order.inputs, Cutout(first, mask)


def _defaults(model: Model) -> dict[str, str | int]:
    return {
        name: rule.default for name, rule in model.contract.parameters.items() if rule.default is not None
    }


def _response_format(model: Model) -> dict[str, str]:
    return {"response_format": "b64_json"} if model.takes_response_format else {}


def _without_defaults(model: Model, parameters: Parameters) -> dict[str, Any]:
    """Drop default values, as an order that names one equals an order without it."""
    defaults = {"size": "auto", **_defaults(model)}
    return {name: value for name, value in parameters.items() if defaults.get(name) != value}
