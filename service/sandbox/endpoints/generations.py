"""Answer POST /v1/images/generations, and the same of a deployment.

Reads the body; `rules` checks the order, `answers` fulfils it.
"""

from starlette.responses import Response

from service.sandbox.answers.deviations import check_operation
from service.sandbox.answers.fulfil import fulfil
from service.sandbox.journal.journaled_requests import JournaledRequest
from service.sandbox.parts import Sandbox
from service.sandbox.rules.contracts import read_generation
from service.sandbox.wire.json_bodies import read_object


async def generate(sandbox: Sandbox, journaled: JournaledRequest, deployment: str | None = None) -> Response:
    check_operation(journaled, "generate")
    fields = await read_object(journaled.request)
    journaled.entry.describe(fields, deployment)
    return await fulfil(
        sandbox,
        journaled,
        lambda: read_generation(fields, sandbox.catalogue, deployment),
        noun="image_generation",
    )
