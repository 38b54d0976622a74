"""The bridge: an order for any model, put in the words of the model that will make it.

Pure translation by the catalogue's tables. A bridged picture is asked for in
exactly the asked size where the living model paints it; only sizes it cannot
paint are made larger and resampled (`Finish`), because encoding a PNG anew costs
hundreds of milliseconds of CPU.
"""

from datetime import date

from service.domain.catalog import Bridge, Catalog, Model, parse_size, widen
from service.domain.images import Finish, ImageOrder, Parameters, SentOrder
from service.domain.validation import check_order, check_prompt

BRIDGE_VERSION = "1"
"""Part of every bridged fingerprint: raise it when the same order would be sent differently."""


def accepted_model(catalog: Catalog, model: Model, today: date) -> Model:
    """Return *model* as callers may ask for it today: wider while it is bridged."""
    if model.bridge is None or not model.is_bridged(today):
        return model
    return widen(model, catalog.models[model.bridge.to])


def translate(catalog: Catalog, order: ImageOrder, today: date) -> SentOrder:
    """Check *order* and put it in the words of the model that will make it.

    Raises:
        InvalidOrder: it is not one its model takes; nothing has been spent.
    """
    model = catalog.find(order.asked_model)
    accepted = accepted_model(catalog, model, today)
    check_order(accepted, prompt=order.prompt, n=order.n, parameters=order.parameters)
    parameters = dict(order.parameters)
    if model.default_size:
        parameters.setdefault("size", model.default_size)
    if model.bridge is None or not model.is_bridged(today):
        return _send_as_asked(model, order.prompt, parameters)
    return _send_bridged(model, model.bridge, catalog.models[model.bridge.to], order.prompt, parameters)


def _send_as_asked(model: Model, prompt: str, parameters: Parameters) -> SentOrder:
    sent = _without_defaults(model, parameters)
    if model.takes_response_format:
        sent["response_format"] = "b64_json"
    return SentOrder(
        model=model.name,
        prompt=prompt,
        parameters=sent,
        images_per_call=model.images_per_call,
        output_format=str(parameters.get("output_format", "png")),
    )


def _send_bridged(
    model: Model, bridge: Bridge, target: Model, prompt: str, parameters: Parameters
) -> SentOrder:
    asked = {**_defaults(model), **parameters}
    suffixes = [
        words[str(asked[name])]
        for name, words in bridge.prompt_suffix.items()
        if str(asked.get(name)) in words
    ]
    sent_prompt = "\n\n".join([prompt, *suffixes])
    check_prompt(prompt, target.prompt_limit - (len(sent_prompt) - len(prompt)))
    sent = {
        name: bridge.values.get(name, {}).get(str(value), value)
        for name, value in asked.items()
        if name == "size" or name in target.parameters
    }
    size = str(sent.get("size", "auto"))
    painted = bridge.sizes.get(size, size)
    pixels = parse_size(size)
    return SentOrder(
        model=target.name,
        prompt=sent_prompt,
        parameters=_without_defaults(target, {**sent, "size": painted}),
        images_per_call=model.images_per_call,
        output_format=str(sent.get("output_format", "png")),
        finish=Finish(*pixels) if pixels else None,
        bridge_version=BRIDGE_VERSION,
    )


def _defaults(model: Model) -> dict[str, str | int]:
    return {name: rule.default for name, rule in model.parameters.items() if rule.default is not None}


def _without_defaults(model: Model, parameters: Parameters) -> dict[str, str | int | bool]:
    """Drop what the provider assumes anyway: naming a default is the same order as leaving it out."""
    defaults = {"size": "auto", **_defaults(model)}
    return {name: value for name, value in parameters.items() if defaults.get(name) != value}
