"""Complete the OpenAPI document that FastAPI generates from the routes.

The routes declare id, summary, text, parameters and the models of their answers; this room adds the rest by id, and
replaces what code generators cannot handle. Built on demand: a process that serves no document does not load it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.http.access import is_open_route
from service.http.admin.keys import CreateKeyRequest
from service.http.admin.policies import PutPolicyRequest
from service.http.admin.teams import PutTeamRequest
from service.http.contract import image_answers, service_answers
from service.http.contract.examples import ANSWERS, BODIES, PARAMETERS
from service.http.contract.failures import component_responses, describe_simply, name_failures
from service.http.contract.headers import component_headers, component_parameters, name_headers
from service.http.contract.operations import OPERATIONS, Answer, Content, Operation
from service.http.contract.order_requests import component_bodies
from service.http.contract.tidying import tidy
from service.http.contract.words import add_words
from service.http.estimate import Estimate

Schema = dict[str, Any]

_ABOUT = """
One gateway for all image generation of a company. It speaks the OpenAI Images API to old and new clients, keeps serving the retired DALL·E models, and never
pays twice for one image.

**Credentials.** `Authorization: Bearer` and a key or token, if the gateway asks for them. A link to an image needs none.

**Failures.** Each has a message that names the fix, and a code for programs. Repeat an order after `Retry-After`, and never with `X-Should-Retry: false`:
it cannot succeed, or could cost twice. An `Idempotency-Key` makes any repeat safe.

**Cache.** An order that equals an earlier one of its team gets its images at once and at no cost, unless `Cache-Control` says
otherwise. Only orders for one image of a model that makes one a call, which a caller sends within a second, get different ones.

**Money.** Amounts are in millionths of a US dollar.

**Changes.** Fields, headers, failures and models are added without notice, so clients ignore what they do not know.
"""
_CONTACT = {"name": "The maintainers of this gateway"}
_SERVERS = [
    {"url": "/", "description": "The gateway that serves this document"},
    {"url": "http://127.0.0.1:8080", "description": "A gateway on this machine, as `make run` starts it"},
]
_TAGS = {
    "Images": "Make, edit and vary images; fetch, describe and delete them.",
    "Models": "The models that orders may name.",
    "Usage": "Your spending, and the state of your limits.",
    "Administration": "Keys, teams, policies, usage, people, the audit and the cache, for admins.",
    "Operations": "Health and metrics, for operators.",
}
_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key (`ig_...`), a token of the identity provider, or `GATEWAY_ADMIN_KEY`. "
    "An open gateway needs none, except below `/admin`. The header `api-key` takes the same values, as Azure clients send them.",
}
_ANSWERS: tuple[type[BaseModel], ...] = (
    image_answers.ImagesResponse,
    image_answers.SimpleImageResponse,
    image_answers.ImageGenPartialImageEvent,
    image_answers.ImageGenCompletedEvent,
    image_answers.ImageEditPartialImageEvent,
    image_answers.ImageEditCompletedEvent,
    service_answers.ImageErrorEvent,
    service_answers.ErrorResponse,
    service_answers.SimpleImageError,
    service_answers.ModelList,
    service_answers.Liveness,
    service_answers.Readiness,
    Estimate,
)
_BODIES: tuple[type[BaseModel], ...] = (CreateKeyRequest, PutTeamRequest, PutPolicyRequest)
_EVENTS = {
    "ImageGenStreamEvent": ("ImageGenPartialImageEvent", "ImageGenCompletedEvent"),
    "ImageEditStreamEvent": ("ImageEditPartialImageEvent", "ImageEditCompletedEvent"),
}
_OF_FRAMEWORK = frozenset({"HTTPValidationError", "ValidationError"})


def complete(generated: Mapping[str, Any]) -> Schema:
    """Return the document of the routes that *generated* describes."""
    return {
        "openapi": generated["openapi"],
        "info": {"title": "", "description": _ABOUT.strip(), **generated["info"], "contact": _CONTACT},
        "servers": _SERVERS,
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": {
            path: {method: _complete_operation(method, path, each) for method, each in operations.items()}
            for path, operations in generated["paths"].items()
        },
        "components": {
            "schemas": _schemas(generated["components"]["schemas"]),
            "responses": component_responses(),
            "parameters": component_parameters(),
            "headers": component_headers(),
            "securitySchemes": {"bearer": _BEARER},
        },
    }


def _complete_operation(method: str, path: str, generated: Mapping[str, Any]) -> Schema:
    operation = OPERATIONS[generated["operationId"]]
    kept = {
        key: generated[key] for key in ("tags", "summary", "description", "operationId") if key in generated
    }
    examples = PARAMETERS.get(generated["operationId"], {})
    own = [*(_tidy_parameter(each) for each in generated.get("parameters", ())), *operation.parameters]
    parameters = [
        *(each | ({"example": examples[each["name"]]} if each["name"] in examples else {}) for each in own),
        *(_parameter(name) for name in operation.headers),
    ]
    return {
        **kept,
        **({"parameters": parameters} if parameters else {}),
        **({"requestBody": _body(generated["operationId"], operation.body)} if operation.body else {}),
        "responses": _responses(operation, generated["responses"]),
        "security": [] if is_open_route(method.upper(), path) else [{"bearer": []}],
    }


def _body(name: str, content: Content) -> Schema:
    examples = {
        f"{name}{number}": {"summary": summary, "value": value}
        for number, (summary, value) in enumerate(BODIES[name], 1)
    }
    return {
        "required": True,
        "content": {kind: {**media, "examples": examples} for kind, media in content.items()},
    }


def _tidy_parameter(parameter: Mapping[str, Any]) -> Schema:
    schema = {key: value for key, value in parameter["schema"].items() if key != "description"}
    # A query has no null: a parameter is there or not.
    return {**parameter, "schema": tidy({**schema, "default": None})}


def _parameter(name: str) -> Schema:
    return {"$ref": f"#/components/parameters/{name}"}


def _responses(operation: Operation, generated: Mapping[str, Any]) -> Schema:
    answers = {
        str(status): _answer(answer, generated.get(str(status), {}))
        for status, answer in operation.answers.items()
    }
    if operation.is_simple:
        return answers | describe_simply(operation.failures)
    return answers | name_failures(operation.failures, of_order=operation.is_order)


def _answer(answer: Answer, generated: Mapping[str, Any]) -> Schema:
    content = generated.get("content", {}) if answer.content is None else answer.content
    described: Schema = {"description": answer.description, "headers": name_headers(answer.headers)}
    return {**described, "content": dict(content)} if content else described


def _schemas(generated: Mapping[str, Any]) -> Schema:
    routes = {name: tidy(each) for name, each in generated.items() if name not in _OF_FRAMEWORK}
    bodies = {name: tidy(each, keeps_null=True) for name, each in _definitions(_BODIES)}
    answers = {name: tidy(each) for name, each in _definitions(_ANSWERS)}
    described = {name: add_words(name, each) for name, each in {**bodies, **answers, **routes}.items()}
    shown = {
        name: {**each, "examples": [ANSWERS[name]]} if name in ANSWERS else each
        for name, each in described.items()
    }
    return {**component_bodies(), **_stream_events(), **shown}


def _definitions(models: Iterable[type[BaseModel]]) -> Iterable[tuple[str, Schema]]:
    _, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    schemas: Schema = definitions["$defs"]
    return schemas.items()


def _stream_events() -> Schema:
    """Return the events of each stream as one schema; `type` tells them apart."""
    return {
        name: {
            "description": "An event of the stream.",
            "oneOf": [{"$ref": f"#/components/schemas/{each}"} for each in (*events, "ImageErrorEvent")],
            "discriminator": {
                "propertyName": "type",
                "mapping": {
                    _type_of(each): f"#/components/schemas/{each}" for each in (*events, "ImageErrorEvent")
                },
            },
        }
        for name, events in _EVENTS.items()
    }


def _type_of(event: str) -> str:
    """Return the `type` of an event."""
    models = {model.__name__: model for model in _ANSWERS}
    constant: str = models[event].model_json_schema()["properties"]["type"]["const"]
    return constant
