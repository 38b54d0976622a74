"""POST /v1/images/edits and /v1/images/variations.

Owns reading the body and noting the pictures in it. An edit repaints the whole picture, whatever the mask says,
like a model at its worst: a caller that wants the rest untouched has to see to that itself.
"""

from starlette.responses import Response

from service.sandbox.forms import Form, read_edit_form, read_form
from service.sandbox.refusals import Refusal
from service.sandbox.rules import read_edit, read_variation
from service.sandbox.visits import Visit
from service.sandbox.work import fulfil


async def edit(visit: Visit) -> Response:
    form = await read_edit_form(visit.request)
    _note(visit, form)
    return await fulfil(visit, lambda: read_edit(form, visit.sandbox.catalogue), noun="image_edit")


async def vary(visit: Visit) -> Response:
    """Say that this is gone; only where DALL·E is still served, serve it."""
    catalogue = visit.sandbox.catalogue
    if catalogue.default_model is None:
        # No capture exists: neither of the text nor of the type and code.
        raise Refusal(410, "The image variations endpoint is no longer available.")
    form = await read_form(visit.request)
    _note(visit, form)
    return await fulfil(visit, lambda: read_variation(form, catalogue))


def _note(visit: Visit, form: Form) -> None:
    visit.entry.describe(form.fields)
    visit.entry.inputs = [one.to_journal() for one in form.inputs]
