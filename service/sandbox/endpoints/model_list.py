"""Answer GET /v1/models and /v1/models/{model}, of OpenAI and of Azure.

Owns the JSON of a model.
"""

from datetime import UTC, datetime, time

from starlette.responses import Response

from service.sandbox.answers.keys import check_account
from service.sandbox.journal.journaled_requests import JournaledRequest
from service.sandbox.parts import Sandbox
from service.sandbox.rules.models import Contract, Model
from service.sandbox.wire.azure_refusals import resource_not_found
from service.sandbox.wire.json_bodies import to_response


async def list_models(sandbox: Sandbox, journaled: JournaledRequest) -> Response:
    check_account(sandbox, journaled)
    models = [_to_model(name, model) for name, model in sandbox.catalogue.alive().items()]
    return to_response({"object": "list", "data": models})


async def describe_model(sandbox: Sandbox, journaled: JournaledRequest) -> Response:
    check_account(sandbox, journaled)
    name = journaled.request.path_params["model"]
    return to_response(_to_model(name, sandbox.catalogue.describe(name)))


async def list_azure_models(sandbox: Sandbox, journaled: JournaledRequest) -> Response:
    """List the models behind the deployments: Azure lists models here, and no deployments."""
    check_account(sandbox, journaled)
    models = {model.name: _to_azure_model(model) for model in sandbox.catalogue.alive().values()}
    return to_response({"object": "list", "data": list(models.values())})


async def describe_azure_model(sandbox: Sandbox, journaled: JournaledRequest) -> Response:
    check_account(sandbox, journaled)
    name = journaled.request.path_params["model"]
    for model in sandbox.catalogue.alive().values():
        if model.name == name:
            return to_response(_to_azure_model(model))
    raise resource_not_found()


def _to_azure_model(model: Model) -> dict[str, object]:
    return {
        "id": model.name,
        "object": "model",
        "status": "succeeded",
        "created_at": int(datetime.combine(model.released, time(), UTC).timestamp()),
        "lifecycle_status": "generally-available",
        "capabilities": {
            "inference": True,
            "fine_tune": False,
            "completion": False,
            "chat_completion": False,
        },
    }


def _to_model(name: str, model: Model) -> dict[str, object]:
    owner = "openai-internal" if model.contract is Contract.DALLE else "system"
    return {
        "id": name,
        "object": "model",
        "created": int(datetime.combine(model.released, time(), UTC).timestamp()),
        "owned_by": owner,
        "shutdown_date": model.shutdown.isoformat() if model.shutdown else None,
    }
