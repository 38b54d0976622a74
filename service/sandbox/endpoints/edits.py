"""Answer POST /v1/images/edits and /v1/images/variations, and edits of a deployment.

Reads the body and notes its images. An edit repaints the whole image and ignores the mask, as a model may at worst: a
caller that needs the rest unchanged must composite the result itself.
"""

from starlette.responses import Response

from service.sandbox.answers.deviations import check_operation
from service.sandbox.answers.fulfil import fulfil
from service.sandbox.journal.journal import Entry, JournalInput
from service.sandbox.journal.journaled_requests import JournaledRequest
from service.sandbox.parts import Sandbox
from service.sandbox.rules.contracts import read_edit, read_variation
from service.sandbox.wire.error_envelope import Refusal
from service.sandbox.wire.forms import Form, read_edit_form, read_form
from service.sandbox.wire.inputs import Input


async def edit(sandbox: Sandbox, journaled: JournaledRequest, deployment: str | None = None) -> Response:
    check_operation(journaled, "edit")
    form = await read_edit_form(journaled.request)
    _note(journaled.entry, form, deployment)
    return await fulfil(
        sandbox,
        journaled,
        lambda: read_edit(form, sandbox.catalogue, deployment, masks=journaled.behaviour.masks),
        noun="image_edit",
    )


async def vary(sandbox: Sandbox, journaled: JournaledRequest) -> Response:
    """Make variations if the sandbox serves DALL·E; otherwise refuse, as the endpoint was shut down."""
    catalogue = sandbox.catalogue
    if catalogue.default_model is None:
        # Text, type and code were not captured.
        raise Refusal(410, "The image variations endpoint is no longer available.")
    form = await read_form(journaled.request)
    _note(journaled.entry, form)
    return await fulfil(sandbox, journaled, lambda: read_variation(form, catalogue))


def _note(entry: Entry, form: Form, deployment: str | None = None) -> None:
    entry.describe(form.fields, deployment)
    entry.inputs = [_to_journal(one) for one in form.inputs]


def _to_journal(one: Input) -> JournalInput:
    width, height = one.size if one.format else (None, None)
    return JournalInput(
        field=one.field,
        sha256=one.sha256,
        size_bytes=one.size_bytes,
        content_type=one.content_type,
        format=one.format,
        width=width,
        height=height,
        clear_share=one.clear_share,
        white_share=one.white_share,
    )
