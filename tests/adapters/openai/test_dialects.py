"""Each kind of backend over real sockets: its address, headers and body of a call, and the answers that it gives."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from service.adapters.openai.dialects.registry import DIALECTS
from service.domain.backends import ServedModel
from service.domain.failures import Billing, FailureKind
from service.domain.images import CallMade, InputImage, Operation
from tests.adapters.openai.conftest import CALL, Script, Watched, failed, make_call, open_backend

GOOD = {"created": 1, "data": [{"b64_json": base64.b64encode(b"image").decode()}]}
ASKED = replace(CALL, parameters={"quality": "low", "size": "1024x1024"})
FIELDS = {"prompt": "a heron", "n": 1, "quality": "low", "size": "1024x1024"}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of backend: what configures it, and what a call becomes there; *place* stands before its paths."""

    address: Mapping[str, Any]
    place: str
    query: str = ""
    headers: frozenset[str]
    without: frozenset[str] = frozenset()
    body: Mapping[str, Any]
    models: str


DEPLOYED = {"gpt-image-2": ServedModel(name="img 2/east")}
KINDS = {
    "openai": Kind(
        address={
            "kind": "openai",
            "organization": "org-1",
            "headers": {"X-Cost-Centre": "images"},
            "models": {"gpt-image-2": ServedModel(name="gpt-image-2-2026-04-21")},
        },
        place="/v1",
        headers=frozenset(
            {"authorization: bearer sk-ours", "openai-organization: org-1", "x-cost-centre: images"}
        ),
        without=frozenset({"api-key"}),
        body={"model": "gpt-image-2-2026-04-21", "safety_identifier": "hash-of-ann", **FIELDS},
        models="/v1/models",
    ),
    "azure classic": Kind(
        address={
            "kind": "azure",
            "api": "classic",
            "api_version": "2025-04-01-preview",
            "models": DEPLOYED,
            "headers": {"x-cost-centre": "images"},
        },
        place="/openai/deployments/img%202%2Feast",
        query="?api-version=2025-04-01-preview",
        headers=frozenset({"api-key: sk-ours", "x-cost-centre: images"}),
        without=frozenset({"authorization", "openai-organization"}),
        body={"user": "hash-of-ann", **FIELDS},
        models="/openai/models?api-version=2025-04-01-preview",
    ),
    "azure v1": Kind(
        address={"kind": "azure", "models": DEPLOYED},
        place="/openai/v1",
        headers=frozenset({"api-key: sk-ours"}),
        without=frozenset({"authorization"}),
        body={"model": "img 2/east", "user": "hash-of-ann", **FIELDS},
        models="/openai/v1/models",
    ),
    "azure v1, dated": Kind(
        address={"kind": "azure", "models": DEPLOYED, "api_version": "preview"},
        place="/openai/v1",
        query="?api-version=preview",
        headers=frozenset({"api-key: sk-ours"}),
        body={"model": "img 2/east", "user": "hash-of-ann", **FIELDS},
        models="/openai/v1/models?api-version=preview",
    ),
    "openai-compatible": Kind(
        address={
            "kind": "openai-compatible",
            "omit": frozenset({"quality", "user"}),
            "models": {"gpt-image-2": ServedModel(name="flux")},
        },
        place="/v1",
        headers=frozenset({"authorization: bearer sk-ours"}),
        body={"model": "flux", "prompt": "a heron", "n": 1, "size": "1024x1024"},
        models="/v1/models",
    ),
    "openai-compatible without a key": Kind(
        address={"kind": "openai-compatible", "api_key": "", "headers": {"x-token": "hush"}},
        place="/v1",
        headers=frozenset({"x-token: hush"}),
        without=frozenset({"authorization", "api-key"}),
        body={"model": "gpt-image-2", "user": "hash-of-ann", **FIELDS},
        models="/v1/models",
    ),
}
EACH_KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def url_for(kind: Kind, script: Script) -> str:
    """Return the base URL as an operator writes it: Azure's endpoint has no path."""
    return script.url.removesuffix("/v1") if kind.address["kind"] == "azure" else script.url


def head_of(request: bytes) -> list[str]:
    return request.partition(b"\r\n\r\n")[0].decode().split("\r\n")


def test_every_kind_has_a_row_here() -> None:
    assert {row.address["kind"] for row in KINDS.values()} == set(DIALECTS)


@EACH_KIND
async def test_a_call_has_the_address_headers_and_body_of_the_kind(script: Script, kind: Kind) -> None:
    script.answer(200, orjson.dumps(GOOD))

    await make_call(url_for(kind, script), ASKED, **kind.address)

    [request] = script.requests
    first, *lines = head_of(request)
    assert first == f"POST {kind.place}/images/generations{kind.query} HTTP/1.1"
    lowered = {line.lower() for line in lines}
    assert {"accept-encoding: identity", "content-type: application/json", *kind.headers} <= lowered
    assert kind.without.isdisjoint(line.partition(":")[0] for line in lowered)
    assert orjson.loads(request.partition(b"\r\n\r\n")[2]) == kind.body


@pytest.fixture
def photo(tmp_path: Path) -> InputImage:
    path = tmp_path / "photo.png"
    path.write_bytes(b"pixels")
    return InputImage(
        role="image",
        digest="d",
        format="png",
        width=8,
        height=8,
        size_bytes=6,
        has_alpha=False,
        path=str(path),
    )


@EACH_KIND
async def test_an_edit_goes_to_the_edits_of_the_kind(script: Script, kind: Kind, photo: InputImage) -> None:
    script.answer(200, orjson.dumps(GOOD))
    edit = replace(ASKED, operation=Operation.EDIT, inputs=(photo,))

    await make_call(url_for(kind, script), edit, **kind.address)

    [request] = script.requests
    assert head_of(request)[0] == f"POST {kind.place}/images/edits{kind.query} HTTP/1.1"
    assert b"multipart/form-data" in request
    assert (b'name="model"' in request) == ("model" in kind.body)
    assert b"pixels" in request


@EACH_KIND
async def test_only_openai_takes_an_edit_as_json(script: Script, kind: Kind, photo: InputImage) -> None:
    script.answer(200, orjson.dumps(GOOD))
    edit = replace(CALL, operation=Operation.EDIT, inputs=(photo,), parameters={"moderation": "low"})

    await make_call(url_for(kind, script), edit, **kind.address)

    is_json = b"content-type: application/json" in script.requests[0].lower()
    assert is_json == (kind.address["kind"] == "openai")


async def test_the_endpoint_of_azure_may_be_written_with_its_paths(script: Script) -> None:
    script.answer(200, orjson.dumps(GOOD))
    endpoint = script.url.removesuffix("/v1")
    for url in (f"{endpoint}/", f"{endpoint}/openai", f"{endpoint}/openai/v1/"):
        await make_call(url, kind="azure")

    assert {head_of(each)[0] for each in script.requests} == {"POST /openai/v1/images/generations HTTP/1.1"}


@EACH_KIND
async def test_the_name_of_a_model_there_is_not_shown(script: Script, kind: Kind) -> None:
    models = {"gpt-image-2": ServedModel(name="east-2")}
    script.answer(200, orjson.dumps({**GOOD, "model": "east-2"}))

    made = await make_call(url_for(kind, script), **{**kind.address, "models": models})

    assert isinstance(made, CallMade)
    assert made.answered_model == "gpt-image-2"


@EACH_KIND
async def test_no_secret_of_an_address_is_in_its_failures(script: Script, kind: Kind) -> None:
    secrets: dict[str, Any] = {"api_key": "plain-secret-1", "headers": {"x-token": "plain-secret-2"}}
    told = "No: plain-secret-1 and plain-secret-2."
    script.answer(400, orjson.dumps({"error": {"message": told, "param": "plain-secret-2", "more": told}}))

    failure = failed(await make_call(url_for(kind, script), **{**kind.address, **secrets}))

    assert failure.message == "No: [hidden] and [hidden]."
    assert "plain-secret" not in repr(failure)
    async with open_backend(script.url, **secrets) as backend:
        assert "plain-secret" not in repr(backend._dialect.address)


UNKNOWN, NOT_BILLED = Billing.UNKNOWN, Billing.NOT_BILLED
TEXT, DETAIL = {"error": "no such size"}, {"detail": "no such size"}
FAULTS = {
    "detail": [
        {"type": "value_error", "loc": ["body", "size"], "msg": "no such size", "input": "a heron", "ctx": {}}
    ]
}
AZURE: dict[str, Any] = {"kind": "azure"}
COMPATIBLE: dict[str, Any] = {"kind": "openai-compatible"}
ANY = {**COMPATIBLE, "errors": "any"}
ITSELF = {**COMPATIBLE, "answers_for_itself": True}
FILTERED = {
    "error": {
        "code": "contentFilter",
        "message": "Your task failed as a result of our safety system.",
        "inner_error": {"code": "ResponsibleAIPolicyViolation", "content_filter_results": {}},
    }
}
FILTERED_BEFORE = {"error": {"code": None, "message": "no", "innererror": FILTERED["error"]["inner_error"]}}
ACCESS = "Unauthorized. Access token is missing, invalid, audience is incorrect, or have expired."


def error(message: str = "no", **fields: object) -> dict[str, object]:
    return {"error": {"message": message, **fields}}


class Answer(NamedTuple):
    """An answer of the backend at *address*, and its meaning."""

    address: Mapping[str, Any]
    status: int
    body: object
    kind: FailureKind
    billing: Billing


ROWS: list[tuple[Mapping[str, Any], int, object, FailureKind, Billing]] = [
    # A body that is not OpenAI's may be that of a proxy, until it is declared.
    *(
        (address, status, body, FailureKind.BROKEN, UNKNOWN)
        for address in ({"kind": "openai"}, AZURE, COMPATIBLE)
        for status, body in ((400, TEXT), (422, FAULTS), (500, DETAIL), (400, [1]))
    ),
    (ANY, 400, TEXT, FailureKind.INVALID, NOT_BILLED),
    (ANY, 400, DETAIL, FailureKind.INVALID, NOT_BILLED),
    (ANY, 422, FAULTS, FailureKind.INVALID, NOT_BILLED),
    (ANY, 400, error(code=400, type=""), FailureKind.INVALID, NOT_BILLED),
    (ANY, 418, "no", FailureKind.INVALID, NOT_BILLED),
    (ANY, 400, {"message": "no", "code": 7}, FailureKind.INVALID, NOT_BILLED),
    (ANY, 400, {"error": {"why": 1}}, FailureKind.INVALID, NOT_BILLED),
    (ANY, 400, [], FailureKind.INVALID, NOT_BILLED),
    (ANY, 402, TEXT, FailureKind.MISCONFIGURED, NOT_BILLED),
    (ANY, 401, DETAIL, FailureKind.MISCONFIGURED, NOT_BILLED),
    (ANY, 404, DETAIL, FailureKind.MISCONFIGURED, NOT_BILLED),
    (ANY, 404, error(type="NotFoundError", param="model", code=404), FailureKind.MODEL_MISSING, NOT_BILLED),
    (ANY, 429, TEXT, FailureKind.RATE_LIMITED, NOT_BILLED),
    (ANY, 500, TEXT, FailureKind.OVERLOADED, NOT_BILLED),
    (ANY, 507, DETAIL, FailureKind.OVERLOADED, NOT_BILLED),
    (ANY, 504, TEXT, FailureKind.TIMED_OUT, UNKNOWN),
    (ANY, 502, TEXT, FailureKind.BROKEN, UNKNOWN),
    (ANY, 408, TEXT, FailureKind.TIMED_OUT, UNKNOWN),
    (ANY, 500, None, FailureKind.BROKEN, UNKNOWN),
    (ANY, 302, TEXT, FailureKind.BROKEN, UNKNOWN),
    ({**ANY, "answers_for_itself": True}, 504, TEXT, FailureKind.OVERLOADED, NOT_BILLED),
    (COMPATIBLE, 502, error(), FailureKind.BROKEN, UNKNOWN),
    (ITSELF, 502, error(), FailureKind.OVERLOADED, NOT_BILLED),
    (ITSELF, 502, TEXT, FailureKind.BROKEN, UNKNOWN),
    (AZURE, 400, FILTERED, FailureKind.REFUSED, NOT_BILLED),
    (AZURE, 400, FILTERED_BEFORE, FailureKind.REFUSED, NOT_BILLED),
    (AZURE, 400, error(code="content_filter"), FailureKind.REFUSED, NOT_BILLED),
    (AZURE, 401, {"statusCode": 401, "message": ACCESS}, FailureKind.MISCONFIGURED, NOT_BILLED),
    (AZURE, 401, error("Access denied.", code="401"), FailureKind.MISCONFIGURED, NOT_BILLED),
    (AZURE, 403, error("Virtual network.", code="403"), FailureKind.MISCONFIGURED, NOT_BILLED),
    (
        AZURE,
        400,
        error("API version not supported", code="BadRequest"),
        FailureKind.MISCONFIGURED,
        NOT_BILLED,
    ),
    (AZURE, 404, error("Resource not found", code="404"), FailureKind.MISCONFIGURED, NOT_BILLED),
    (AZURE, 404, error(code="DeploymentNotFound"), FailureKind.MODEL_MISSING, NOT_BILLED),
    (AZURE, 400, error(code="OperationNotSupported"), FailureKind.MODEL_MISSING, NOT_BILLED),
    (AZURE, 429, error("Please retry after 7 seconds.", code="429"), FailureKind.RATE_LIMITED, NOT_BILLED),
    (AZURE, 429, {"statusCode": 429, "message": "Try later."}, FailureKind.RATE_LIMITED, NOT_BILLED),
    (AZURE, 500, {"statusCode": 500, "message": "Internal"}, FailureKind.BROKEN, UNKNOWN),
    (AZURE, 408, error("The operation was timeout.", code="Timeout"), FailureKind.TIMED_OUT, UNKNOWN),
    (
        AZURE,
        403,
        error("It has been temporarily blocked because we detected behavior that may violate it."),
        FailureKind.BLOCKED,
        NOT_BILLED,
    ),
]


CLASSIC = {"api": "classic", "api_version": "2025-04-01-preview"}
ANSWERS = [
    *(Answer(*row) for row in ROWS),
    *(Answer({**AZURE, **CLASSIC}, *row[1:]) for row in ROWS if row[0] is AZURE),
]


@pytest.mark.parametrize(
    "answer",
    ANSWERS,
    ids=[f"{number}-{each.address['kind']}-{each.status}" for number, each in enumerate(ANSWERS)],
)
async def test_an_answer_is_read_as_its_kind_gives_it(
    script: Script, photo: InputImage, answer: Answer
) -> None:
    script.answer(answer.status, b"<html>" if answer.body is None else orjson.dumps(answer.body))

    for call in (CALL, replace(CALL, operation=Operation.EDIT, inputs=(photo,))):
        failure = failed(await make_call(script.url, call, **answer.address))
        assert (failure.kind, failure.billing, failure.status) == (
            answer.kind,
            answer.billing,
            answer.status,
        )


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        (TEXT, "no such size", None),
        (DETAIL, "no such size", None),
        (FAULTS, "size: no such size", "size"),
        ({"detail": ["one", "two"]}, "one; two", None),
        ({"error": {"code": 5}}, "The image provider answered 400.", None),
        ("no such size", "no such size", None),
    ],
)
async def test_the_text_of_any_error_reaches_the_caller(
    script: Script, body: object, message: str, param: str | None
) -> None:
    script.answer(400, orjson.dumps(body))

    failure = failed(await make_call(script.url, **ANY))

    assert (failure.message, failure.param, failure.code) == (message, param, None)


async def test_progress_is_reported_for_each_kind(script: Script) -> None:
    script.answer(200, orjson.dumps(GOOD))
    for kind in KINDS.values():
        watched = Watched()
        async with open_backend(url_for(kind, script), **kind.address) as backend:
            await backend.make(CALL, watched)
        assert len(watched.sent_at_s) == 1
