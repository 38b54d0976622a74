"""Deviate from OpenAI as servers do that imitate it: fewer operations, parameters, images and formats."""

from dataclasses import replace

from service.sandbox.faults.behaviour import Behaviour, Operation
from service.sandbox.journal.journaled_requests import JournaledRequest
from service.sandbox.rules.accepted_order import Order
from service.sandbox.wire.error_envelope import Refusal, unknown_parameter, unknown_path


def check_operation(journaled: JournaledRequest, operation: Operation) -> None:
    """Raise the 404 of a path that this server does not have."""
    if operation not in journaled.behaviour.operations:
        raise unknown_path(journaled.request.method, journaled.request.url.path)


def check_parameters(journaled: JournaledRequest) -> None:
    """Raise the 400 for a parameter or file that this server refuses."""
    entry = journaled.entry
    sent = {name for name, value in entry.parameters.items() if value is not None}
    sent |= {one.field for one in entry.inputs}
    for name in journaled.behaviour.refused_parameters:
        if name in sent:
            raise unknown_parameter(name)


def deviate(order: Order, behaviour: Behaviour) -> Order:
    """Return the order as this server understands it; raises the 400 for several images at once."""
    if order.n > 1 and behaviour.several == "refused":
        raise Refusal(
            400, "This model makes one image at a time: n must be 1.", param="n", code="invalid_value"
        )
    if behaviour.several == "ignored":
        order = replace(order, n=1)
    if behaviour.makes is not None:
        background = "opaque" if behaviour.makes == "jpeg" else order.background
        order = replace(order, output_format=behaviour.makes, background=background)
    return order
