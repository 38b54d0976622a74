"""Read an order by the contract of its model: GPT image or DALL·E.

Finds the model and hands the order to `gpt_image` or `dalle`, which return it or raise the `Refusal` of the API.
"""

from service.sandbox.rules.accepted_order import Order
from service.sandbox.rules.dalle import read_dalle_edit, read_dalle_generation, read_dalle_variation
from service.sandbox.rules.gpt_image import read_gpt_image_edit, read_gpt_image_generation
from service.sandbox.rules.gpt_image_edits import Masks
from service.sandbox.rules.models import Catalogue, Contract, Model
from service.sandbox.wire.error_envelope import unknown_model, wrong_media_type
from service.sandbox.wire.fields import Fields, read_text
from service.sandbox.wire.forms import Form


def read_generation(fields: Fields, catalogue: Catalogue, deployment: str | None = None) -> Order:
    """Return the order for a generation; *deployment* is that of the path, if it has one.

    A member that is null counts as absent, as the SDKs expect.
    """
    sent, model = _find_model(fields, catalogue, deployment)
    if model.contract is Contract.DALLE:
        return read_dalle_generation(sent, model)
    return read_gpt_image_generation(sent, model)


def read_edit(
    form: Form, catalogue: Catalogue, deployment: str | None = None, *, masks: Masks = "transparent"
) -> Order:
    """Return the order for an edit; *masks* names the part of a mask that is edited."""
    sent, model = _find_model(form.fields, catalogue, deployment)
    if model.contract is Contract.GPT_IMAGE:
        return read_gpt_image_edit(sent, form, model, masks)
    if form.is_json:
        raise wrong_media_type("application/json")
    return read_dalle_edit(sent, form, model)


def read_variation(form: Form, catalogue: Catalogue) -> Order:
    """Return the order for variations; only DALL·E 2 ever made them."""
    sent, model = _find_model(form.fields, catalogue)
    return read_dalle_variation(sent, form, model)


def _find_model(fields: Fields, catalogue: Catalogue, deployment: str | None = None) -> tuple[Fields, Model]:
    """Return what was sent, with the model's own name in place of a deployment's, and the model."""
    sent = {name: value for name, value in fields.items() if value is not None}
    if deployment is not None:
        model = catalogue.find(deployment)
        if "model" in sent and not model.ignores_body_name:
            raise unknown_model(read_text(sent, "model"))
        return {**sent, "model": model.name}, model
    if catalogue.default_model is not None:
        sent.setdefault("model", catalogue.default_model)
    model = catalogue.find(read_text(sent, "model"))
    return {**sent, "model": model.name}, model
