"""Compare the contract with the one of the last release: a change that breaks its clients is deliberate."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import orjson
import pytest

from tests.contract.breaking import find_breaks
from tests.contract.published import published
from tests.documents import read

RELEASED = "openapi/released.json"
ACCEPTED: dict[str, str] = {}
"""Each deliberate break since the last release, as the test names it, with its line in CHANGELOG.md."""

Change = Callable[[dict[str, Any]], Any]


def test_clients_of_the_last_release_still_work() -> None:
    breaks = set(find_breaks(orjson.loads(read(RELEASED)), published()))

    assert breaks == set(ACCEPTED), "mend it, or accept it in ACCEPTED and tell it in CHANGELOG.md"
    assert all(line in read("CHANGELOG.md") for line in ACCEPTED.values())


def operation(document: dict[str, Any], path: str, method: str = "post") -> Any:
    return document["paths"][path][method]


def schema(document: dict[str, Any], name: str) -> Any:
    return document["components"]["schemas"][name]


def create(document: dict[str, Any]) -> Any:
    return operation(document, "/v1/images/generations")


BREAKS: dict[str, tuple[Change, str]] = {
    "a path is gone": (lambda d: d["paths"].pop("/v1/models"), "listModels: get /v1/models is gone"),
    "a method is gone": (
        lambda d: d["paths"]["/admin/keys"].pop("post"),
        "adminCreateKey: post /admin/keys is gone",
    ),
    "an id is another": (
        lambda d: create(d).update(operationId="makeImage"),
        "createImage: its id is makeImage",
    ),
    "a component is gone": (
        lambda d: d["components"]["schemas"].pop("SvgReasoning"),
        "component SvgReasoning is gone",
    ),
    "a field of a request is gone": (
        lambda d: schema(d, "CreateImageRequest")["properties"].pop("style"),
        "CreateImageRequest: field style is gone",
    ),
    "a field of a request is required": (
        lambda d: schema(d, "CreateImageRequest")["required"].append("model"),
        "CreateImageRequest.model is required",
    ),
    "a field of a request has a lower bound": (
        lambda d: schema(d, "CreateImageRequest")["properties"]["n"].update(maximum=4),
        "CreateImageRequest.n: maximum 10 has become 4",
    ),
    "a field of a request has another type": (
        lambda d: schema(d, "EditImageRequest")["properties"]["n"].update(type="string"),
        "EditImageRequest.n: ['integer'] has become ['string']",
    ),
    "a value of a request is gone": (
        lambda d: schema(d, "ResponseFormat")["enum"].remove("url"),
        "ResponseFormat: its values are others",
    ),
    "a body has another name": (
        lambda d: create(d)["requestBody"]["content"]["application/json"]["schema"].update(
            {"$ref": "#/components/schemas/SimpleImageRequest"}
        ),
        "createImage, body: CreateImageRequest has become SimpleImageRequest",
    ),
    "a type of body is gone": (
        lambda d: create(d)["requestBody"]["content"].clear(),
        "createImage, body: type application/json is gone",
    ),
    "a parameter is gone": (
        lambda d: operation(d, "/admin/audit", "get")["parameters"].clear(),
        "adminGetAudit, limit is gone",
    ),
    "a parameter is required": (
        lambda d: d["components"]["parameters"]["IdempotencyKey"].update(required=True),
        "createImage, Idempotency-Key is required",
    ),
    "a parameter is new and required": (
        lambda d: create(d)["parameters"].append(
            {"name": "tenant", "in": "query", "required": True, "schema": {"type": "string"}}
        ),
        "createImage, tenant is required",
    ),
    "an answer is gone": (
        lambda d: operation(d, "/v1/images/files/{name}", "get")["responses"].pop("302"),
        "getImageFile: no answer 302",
    ),
    "a type of answer is gone": (
        lambda d: operation(d, "/admin/usage", "get")["responses"]["200"]["content"].pop("text/csv"),
        "adminGetUsage, 200: type text/csv is gone",
    ),
    "a header is gone": (
        lambda d: create(d)["responses"]["200"]["headers"].pop("X-Cache"),
        "createImage, 200: header X-Cache is gone",
    ),
    "a field of an answer is gone": (
        lambda d: schema(d, "ImageInfo")["properties"].pop("width"),
        "ImageInfo: field width is gone",
    ),
    "a field of an answer may be missing": (
        lambda d: schema(d, "ImageInfo")["required"].remove("width"),
        "ImageInfo.width may be missing",
    ),
    "a field of an answer may be null": (
        lambda d: schema(d, "ImageInfo")["properties"]["width"].update(type=["integer", "null"]),
        "ImageInfo.width: ['integer'] has become ['integer', 'null']",
    ),
    "a value of an answer is new": (
        lambda d: schema(d, "Role")["enum"].append("auditor"),
        "Role: its values are others",
    ),
    "a number of an answer has fewer bits": (
        lambda d: schema(d, "ImageInfo")["properties"]["size_bytes"].pop("format"),
        "ImageInfo.size_bytes: format int64 has become None",
    ),
    "an event is new": (
        lambda d: schema(d, "ImageGenStreamEvent")["oneOf"].append({"$ref": "#/components/schemas/Model"}),
        "ImageGenStreamEvent: its kinds are others",
    ),
    "a route needs credentials": (
        lambda d: operation(d, "/livez", "get").update(security=[{"bearer": []}]),
        "getLiveness: it needs credentials",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_break_is_found(name: str) -> None:
    change, found = BREAKS[name]
    changed = deepcopy(published())
    change(changed)

    assert found in set(find_breaks(published(), changed))


COMPATIBLE: dict[str, Change] = {
    "a new operation": lambda d: d["paths"].update({"/new": {"get": {"operationId": "getNew"}}}),
    "a new field of a request": lambda d: schema(d, "CreateImageRequest")["properties"].update(
        seed={"type": "integer"}
    ),
    "a wider bound": lambda d: schema(d, "CreateImageRequest")["properties"]["n"].update(maximum=20),
    "a new value of a request": lambda d: schema(d, "ResponseFormat")["enum"].append("data_url"),
    "a new field of an answer": lambda d: schema(d, "ImageInfo")["properties"].update(
        seed={"type": "integer"}
    ),
    "a field of an answer that is never null": lambda d: schema(d, "ImageInfo")["properties"][
        "cost_microusd"
    ].update(type="integer"),
    "a new failure": lambda d: operation(d, "/v1/models", "get")["responses"].update(
        {"429": {"$ref": "#/components/responses/TooManyRequests"}}
    ),
    "other words": lambda d: create(d).update(summary="Draw"),
}


@pytest.mark.parametrize("name", COMPATIBLE)
def test_other_changes_pass(name: str) -> None:
    changed = deepcopy(published())
    COMPATIBLE[name](changed)

    assert list(find_breaks(published(), changed)) == []
