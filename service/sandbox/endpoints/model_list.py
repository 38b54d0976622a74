"""Answer GET /v1/models and /v1/models/{model}.

Owns the JSON of a model.
"""

from datetime import UTC, datetime, time

from starlette.responses import Response

from service.sandbox.journal.journaled_requests import JournaledRequest
from service.sandbox.parts import Sandbox
from service.sandbox.rules.models import Contract, Model
from service.sandbox.wire.json_bodies import to_response


async def list_models(sandbox: Sandbox, _: JournaledRequest) -> Response:
    models = [_to_model(model) for model in sandbox.catalogue.alive()]
    return to_response({"object": "list", "data": models})


async def describe_model(sandbox: Sandbox, journaled: JournaledRequest) -> Response:
    return to_response(_to_model(sandbox.catalogue.describe(journaled.request.path_params["model"])))


def _to_model(model: Model) -> dict[str, object]:
    owner = "openai-internal" if model.contract is Contract.DALLE else "system"
    return {
        "id": model.name,
        "object": "model",
        "created": int(datetime.combine(model.released, time(), UTC).timestamp()),
        "owned_by": owner,
        "shutdown_date": model.shutdown.isoformat() if model.shutdown else None,
    }
