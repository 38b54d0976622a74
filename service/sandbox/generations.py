"""POST /v1/images/generations.

Owns reading the body. What may be in it is in `rules`, what becomes of it in `work`.
"""

from starlette.responses import Response

from service.sandbox.replies import read_object
from service.sandbox.rules import read_generation
from service.sandbox.visits import Visit
from service.sandbox.work import fulfil


async def generate(visit: Visit) -> Response:
    fields = await read_object(visit.request)
    visit.entry.describe(fields)
    return await fulfil(
        visit, lambda: read_generation(fields, visit.sandbox.catalogue), noun="image_generation"
    )
