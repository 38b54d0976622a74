"""Describe each operation: body, headers, answers and failures, beside what its route declares itself.

How to add one: a row of `OPERATIONS` under its `operation_id`. `tests/test_openapi_document.py` names a missing one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.http.contract.headers import FILE, OF_FILES, OF_ORDERS, ORDER, STREAM
from service.http.ops import OPENMETRICS

Schema = dict[str, Any]
Content = Mapping[str, Schema]

_EVERY = (400, 431, 500)
_NAMED = (401, 403, 503)
"""Failures of every route that needs credentials."""
_BODY = (408, 413, 415, 429)
_ORDER = (409, 410, 422, 502, 504)


@dataclass(frozen=True, slots=True)
class Answer:
    """A success: its description, its content (that of the route if None), and its headers."""

    description: str
    content: Content | None = None
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation; *headers* are components of parameters.

    *is_order*: its failures have the headers of orders. *is_simple*: they have the envelope of the older service.
    """

    answers: Mapping[int, Answer]
    failures: tuple[int, ...]
    body: Content | None = None
    headers: tuple[str, ...] = ()
    parameters: tuple[Schema, ...] = ()
    is_order: bool = False
    is_simple: bool = False


def _ref(name: str) -> Schema:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}


def _json(name: str) -> Content:
    return {"application/json": _ref(name)}


def _form(name: str) -> Content:
    return {"multipart/form-data": _ref(name)}


def _order(body: Content, answer: Answer) -> Operation:
    return Operation(
        body=body,
        headers=OF_ORDERS,
        answers={200: answer},
        failures=(*_EVERY, *_NAMED, *_BODY, *_ORDER),
        is_order=True,
    )


def _images(events: str = "") -> Answer:
    """Return the answer with images; with *events*, an order with `stream` gets those."""
    content = {**_json("ImagesResponse"), **({"text/event-stream": _ref(events)} if events else {})}
    return Answer("The images.", content, (*dict.fromkeys((*ORDER, *STREAM)), "Preference-Applied"))


def _stream(events: str) -> Answer:
    return Answer(
        "Events: stages of each image if asked for, then the image; `error` if the order fails after the first event.",
        {"text/event-stream": _ref(events)},
        STREAM,
    )


def _reading(description: str, *more: int, answer: str = "") -> Operation:
    """Return an operation without a body that needs credentials."""
    return Operation(
        answers={200: Answer(description, _json(answer) if answer else None)},
        failures=(*_EVERY, *_NAMED, *more),
    )


def _writing(body: str, answers: Mapping[int, Answer], *more: int) -> Operation:
    return Operation(body=_json(body), answers=answers, failures=(*_EVERY, *_NAMED, *_BODY, *more))


_BINARY: Schema = {"schema": {"type": "string", "format": "binary"}}
_FILES: Content = dict.fromkeys(
    ("image/png", "image/jpeg", "image/webp", "image/gif", "image/svg+xml"), _BINARY
)
_LINK = tuple(
    {"name": name, "in": "query", "required": True, "description": description, "schema": schema}
    for name, description, schema in (
        ("t", "Team whose link it is.", {"type": "string"}),
        ("exp", "End of the link in seconds since 1970; 0 for none.", {"type": "integer", "format": "int64"}),
        ("sig", "Signature of name, team and end.", {"type": "string"}),
    )
)

OPERATIONS: Mapping[str, Operation] = {
    "createImage": _order(_json("CreateImageRequest"), _images("ImageGenStreamEvent")),
    "createImageStream": _order(_json("CreateImageRequest"), _stream("ImageGenStreamEvent")),
    "editImage": _order(_form("EditImageRequest"), _images("ImageEditStreamEvent")),
    "editImageStream": _order(_form("EditImageRequest"), _stream("ImageEditStreamEvent")),
    "createImageVariation": _order(_form("CreateImageVariationRequest"), _images()),
    "createImageVariationStream": _order(
        _form("CreateImageVariationRequest"), _stream("ImageEditStreamEvent")
    ),
    "estimateImages": _writing("EstimateRequest", {200: Answer("The estimate.", _json("Estimate"))}),
    "generateImage": Operation(
        body=_json("SimpleImageRequest"),
        answers={200: Answer("The image.", _json("SimpleImageResponse"))},
        failures=(*_EVERY, *_NAMED, *_BODY, *_ORDER),
        is_simple=True,
    ),
    "getImageFile": Operation(
        parameters=_LINK,
        headers=OF_FILES,
        answers={
            200: Answer("The file.", _FILES, FILE),
            206: Answer("The part of the file that `Range` names.", _FILES, (*FILE, "Content-Range")),
            302: Answer(
                "The place of the file in the store, if `GATEWAY_STORE_REDIRECT_S` is set.",
                {},
                ("Location", "Cache-Control"),
            ),
            304: Answer("The copy that `If-None-Match` names is current.", {}, FILE),
        },
        failures=(*_EVERY, 403, 404, 410, 416, 503),
    ),
    "deleteImageFile": Operation(
        answers={204: Answer("The image is deleted.", {})}, failures=(*_EVERY, *_NAMED, 404)
    ),
    "getImageInfo": _reading("Origin of the image.", 404),
    "listModels": _reading("All models.", answer="ModelList"),
    "getModel": _reading("The model.", 404, answer="Model"),
    "getUsage": _reading("Spending, limits and policies."),
    "adminCreateKey": _writing(
        "CreateKeyRequest",
        {201: Answer("The new key; no other answer shows it.", None, ("Cache-Control",))},
        404,
        409,
    ),
    "adminListKeys": _reading("Keys, oldest first."),
    "adminRevokeKey": _reading("The key is revoked.", 404, 409),
    "adminListTeams": _reading("All teams."),
    "adminPutTeam": _writing("PutTeamRequest", {200: Answer("The team as it is now.")}, 404, 409),
    "adminListPolicies": _reading("All policies."),
    "adminPutPolicy": _writing("PutPolicyRequest", {200: Answer("The policy as it is now.")}, 409),
    "adminRemovePolicy": _reading("The policy is removed.", 404, 409),
    "adminGetUsage": Operation(
        answers={
            200: Answer(
                "Sums of the ledger.",
                {**_json("UsageTable"), "text/csv": {"schema": {"type": "string"}}},
                ("Content-Disposition",),
            )
        },
        failures=(*_EVERY, *_NAMED),
    ),
    "adminErasePerson": _reading("The person is erased.", 409),
    "adminGetAudit": _reading("Actions, newest first."),
    "adminGetCacheStats": _reading("The stored images of each team."),
    "adminPurgeCache": _reading("The images purged, or matched by a dry run."),
    "getLiveness": Operation(answers={200: Answer("The process runs.", _json("Liveness"))}, failures=_EVERY),
    "getReadiness": Operation(
        answers={
            200: Answer("The process takes orders.", _json("Readiness")),
            503: Answer("The process ends.", _json("Readiness")),
        },
        failures=_EVERY,
    ),
    "getMetrics": Operation(
        answers={
            200: Answer(
                "Metrics.",
                {kind: {"schema": {"type": "string"}} for kind in ("text/plain", OPENMETRICS)},
            )
        },
        # With a port of its own.
        failures=(*_EVERY, *_NAMED, 404),
    ),
}
