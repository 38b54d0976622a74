"""Send every example of the contract to a gateway, and compare each answer with the contract."""

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from tests.contract.conformance import faults_of, find_faults, operations, resolve
from tests.contract.conftest import Site
from tests.contract.published import published

SEQUENCE = [
    *("getLiveness", "getReadiness", "getMetrics", "listModels", "getModel"),
    *(
        "adminPutPolicy",
        "adminListPolicies",
        "adminPutTeam",
        "adminListTeams",
        "adminCreateKey",
        "adminListKeys",
    ),
    *("createImage", "createImageStream", "editImage", "editImageStream"),
    *("createImageVariation", "createImageVariationStream"),
    *(
        "estimateImages",
        "generateImage",
        "getUsage",
        "getImageFile",
        "getImageInfo",
        "adminGetUsage",
        "adminGetCacheStats",
    ),
    *("adminPurgeCache", "deleteImageFile", "adminRevokeKey", "adminErasePerson", "adminRemovePolicy"),
    "adminGetAudit",
]
"""All operations, each after those it builds on."""


def send(
    client: httpx.Client, name: str, body: Any, known: Mapping[str, Any], **headers: str
) -> httpx.Response:
    """Send an operation with its example parameters, and values of earlier answers in place of some."""
    method, path, operation = operations()[name]
    query = {}
    for parameter in operation.get("parameters", ()):
        value = known.get(parameter.get("name", ""), parameter.get("example"))
        if parameter.get("in") == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(value))
        elif parameter.get("in") == "query" and value is not None:
            query[parameter["name"]] = value
    content = operation.get("requestBody", {}).get("content", {})
    if "multipart/form-data" in content:
        data, files = split_form(content["multipart/form-data"]["schema"], body)
        return client.request(method, path, params=query, data=data, files=files, headers=headers)
    return client.request(method, path, params=query, json=body, headers=headers)


def split_form(
    schema: Mapping[str, Any], body: Mapping[str, Any]
) -> tuple[dict[str, str], list[tuple[str, tuple[str, bytes]]]]:
    """Return the texts and the files of a form."""
    properties = resolve(schema)["properties"]
    texts, sent = {}, []
    for name, value in body.items():
        if "binary" in (properties[name].get("format"), properties[name].get("items", {}).get("format")):
            values = value if isinstance(value, list) else [value]
            sent += [(name, ("example.png", base64.b64decode(each))) for each in values]
        else:
            texts[name] = str(value)
    return texts, sent


def bodies_of(name: str) -> list[Any]:
    """Return the bodies of an operation's examples; one without a body is sent once."""
    content = operations()[name][2].get("requestBody", {}).get("content", {})
    return [example["value"] for media in content.values() for example in media["examples"].values()] or [
        None
    ]


def test_every_example_of_every_operation_works(site: Site) -> None:
    client = site.client
    assert sorted(SEQUENCE) == sorted(operations())
    known: dict[str, Any] = {}
    sent = 0
    for name in SEQUENCE:
        if name == "adminRemovePolicy":
            free_policy(client)
        for body in bodies_of(name):
            answer = send(client, name, body, known if name in AFTER_OTHERS else {})
            assert answer.is_success, (name, answer.text)
            assert faults_of(name, answer) == [], name
            known |= learn(name, answer)
            sent += 1
    assert sent > len(SEQUENCE)


def test_every_example_of_an_answer_has_its_form() -> None:
    schemas = published()["components"]["schemas"]
    examples = {name: each for name, schema in schemas.items() for each in schema.get("examples", ())}

    assert len(examples) > 3
    assert [
        fault for name, each in examples.items() for fault in find_faults(schemas[name], each, name)
    ] == []


AFTER_OTHERS = {"getImageFile", "getImageInfo", "deleteImageFile", "adminRevokeKey"}


def learn(name: str, answer: httpx.Response) -> dict[str, Any]:
    """Return what later operations need of an answer: a key's id, an image's link."""
    if name == "adminCreateKey":
        return {"key_id": answer.json()["id"]}
    if name == "createImage" and "url" in answer.json()["data"][0]:
        link = urlsplit(answer.json()["data"][0]["url"])
        return {"name": link.path.rpartition("/")[2], **dict(parse_qsl(link.query))}
    return {}


def free_policy(client: httpx.Client) -> None:
    """Take the example's policy from its team and keys: one in use cannot be removed."""
    client.put("/admin/teams/shop", json={"policy": None, "user_policy": None}).raise_for_status()
    for key in client.get("/admin/keys").json()["data"]:
        client.delete(f"/admin/keys/{key['team']}/{key['id']}").raise_for_status()
