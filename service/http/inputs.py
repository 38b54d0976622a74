"""Read the images of a caller for an order, before anything is spent."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from service.domain.errors import InvalidOrder
from service.domain.images import InputImage, Operation
from service.domain.inputs import MAX_INPUT_PIXELS, turns_needed
from service.domain.order import ImageOrder
from service.http.errors import IMAGING_BUSY, RequestRejected
from service.http.services import HttpServices
from service.http.uploads import Form
from service.ports.imaging import ImageBroken, ImagingBusy


async def read_inputs(services: HttpServices, form: Form) -> tuple[InputImage, ...]:
    """Read the headers of the inputs, and yield to the event loop after each."""
    inputs = []
    with _translated_errors():
        for file in form.files:
            inputs.append(
                services.ordering.inputs.read_input(file.field, str(file.path), file.digest, file.size_bytes)
            )
            await asyncio.sleep(0)
    return tuple(inputs)


async def prepare_inputs(services: HttpServices, order: ImageOrder) -> ImageOrder:
    """Return *order* with its images as its masks mean them: upright, and with known transparency."""
    if order.operation is not Operation.EDIT or any(
        image.width * image.height > MAX_INPUT_PIXELS for image in order.inputs
    ):
        return order
    with _translated_errors():
        return await _find_alpha(services, await _turn_upright(services, order))


async def _turn_upright(services: HttpServices, order: ImageOrder) -> ImageOrder:
    inputs = list(order.inputs)
    for place, orientation in turns_needed(order.inputs).items():
        inputs[place] = await services.ordering.inputs.turn(inputs[place], orientation, order.caller.holder)
    return replace(order, inputs=tuple(inputs))


async def _find_alpha(services: HttpServices, order: ImageOrder) -> ImageOrder:
    """Find out if a single input is its own mask: an alpha channel alone does not say so."""
    bridge = order.asked.bridge
    image = order.inputs[0] if len(order.inputs) == 1 else None
    if image is None or not image.has_alpha or bridge is None or not bridge.keeps_unmasked:
        return order
    return replace(
        order, inputs=(await services.ordering.inputs.check_transparency(image, order.caller.holder),)
    )


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except ImageBroken as error:
        raise InvalidOrder(
            "Invalid image file or mode for image 1, please check your image file.",
            param="image",
            code="invalid_image_file",
            error_type="image_generation_user_error",
        ) from error
    except ImagingBusy as error:
        raise RequestRejected(IMAGING_BUSY) from error
