"""The generated Python client does each operation and tells what it saw, a line of JSON for each.

Run by the interpreter of the client's own environment, and checked there by `mypy --strict`.
"""

import base64
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from image_gateway_client import AuthenticatedClient, Client
from image_gateway_client.api.administration import (
    admin_create_key,
    admin_list_policies,
    admin_put_policy,
    admin_revoke_key,
)
from image_gateway_client.api.images import (
    create_image,
    create_image_stream,
    create_image_variation,
    edit_image,
    edit_image_stream,
    estimate_images,
    get_image_file,
)
from image_gateway_client.api.models import get_model, list_models
from image_gateway_client.api.usage import get_usage
from image_gateway_client.errors import UnexpectedStatus
from image_gateway_client.models import (
    CreatedKey,
    CreateImageRequest,
    CreateImageVariationRequest,
    CreateKeyRequest,
    EditImageRequest,
    ErrorResponse,
    Estimate,
    EstimateRequest,
    ImageEditCompletedEvent,
    ImageEditPartialImageEvent,
    ImageGenCompletedEvent,
    ImageGenPartialImageEvent,
    ImagesResponse,
    Model,
    ModelList,
    PolicyEntry,
    PolicyList,
    PutPolicyRequest,
    Removed,
    ResponseFormat,
    Usage,
)
from image_gateway_client.streaming import stream
from image_gateway_client.types import File

TASK: dict[str, str] = json.loads(sys.argv[1])
Observation = dict[str, Any]


def client(key: str) -> AuthenticatedClient:
    """Return a client with a key of the task."""
    return AuthenticatedClient(base_url=TASK["url"], token=TASK[key], timeout=httpx.Timeout(30))


def picture(name: str) -> File:
    """Return a file of the task, to be sent."""
    path = Path(TASK[name])
    return File(payload=path.open("rb"), file_name=path.name, mime_type="image/png")


def generate() -> Observation:
    order = CreateImageRequest(prompt=TASK["prompt"], model="dall-e-3", n=4)
    answer = create_image.sync(client=client("key"), body=order)
    assert isinstance(answer, ImagesResponse), answer
    return {"urls": [image.url for image in answer.data]}


def edit() -> Observation:
    order = EditImageRequest(
        image=[picture("image"), picture("image")],
        mask=picture("mask"),
        prompt=TASK["prompt"],
        model="gpt-image-2",
        n=2,
    )
    answer = edit_image.sync(client=client("key"), body=order)
    assert isinstance(answer, ImagesResponse), answer
    assert answer.usage
    files = [base64.b64decode(str(image.b64_json)) for image in answer.data]
    return {"heads": [file[:8].hex() for file in files], "tokens": answer.usage.total_tokens}


def vary() -> Observation:
    order = CreateImageVariationRequest(
        image=picture("image"), n=2, size="256x256", response_format=ResponseFormat.URL
    )
    answer = create_image_variation.sync(client=client("key"), body=order)
    assert isinstance(answer, ImagesResponse), answer
    return {"urls": [image.url for image in answer.data]}


def stream_generation() -> Observation:
    order = CreateImageRequest(prompt=TASK["prompt"], model="gpt-image-2", partial_images=1)
    types = []
    for event in stream(create_image_stream, client=client("key"), body=order):
        assert isinstance(event, ImageGenPartialImageEvent | ImageGenCompletedEvent), event
        types.append(str(event.type_))
    assert isinstance(event, ImageGenCompletedEvent), event
    return {"types": types, "tokens": event.usage.total_tokens}


def stream_edit() -> Observation:
    order = EditImageRequest(
        image=[picture("image")], prompt=TASK["prompt"], model="gpt-image-2", partial_images=1
    )
    types = []
    for event in stream(edit_image_stream, client=client("key"), body=order):
        assert isinstance(event, ImageEditPartialImageEvent | ImageEditCompletedEvent), event
        types.append(str(event.type_))
    assert isinstance(event, ImageEditCompletedEvent), event
    return {"types": types, "tokens": event.usage.total_tokens}


def refusal_of(key: str, size: str = "1024x1024") -> Observation:
    """Return what a refused stream raises."""
    caller = AuthenticatedClient(base_url=TASK["url"], token=key, timeout=httpx.Timeout(30))
    order = CreateImageRequest(prompt=TASK["prompt"], model="gpt-image-2", size=size)
    try:
        return {"events": len(list(stream(create_image_stream, client=caller, body=order)))}
    except UnexpectedStatus as error:
        return {"status": error.status_code, "message": str(error)}


def refused_stream() -> Observation:
    return {"wrong key": refusal_of("ig_wrong"), "wrong size": refusal_of(TASK["key"], size="1x1")}


def unreachable_stream() -> Observation:
    caller = Client(base_url="http://127.0.0.1:9")
    order = CreateImageRequest(prompt=TASK["prompt"])
    try:
        return {"told": str(list(stream(create_image_stream, client=caller, body=order)))}
    except httpx.ConnectError as error:
        return {"told": repr(error)}


def models() -> Observation:
    answer = list_models.sync(client=client("key"))
    assert isinstance(answer, ModelList), answer
    return {"models": {model.id: str(model.shutdown_date) for model in answer.data}}


def details() -> Observation:
    model = get_model.sync("dall-e-3", client=client("key"))
    assert isinstance(model, Model), model
    assert model.sizes
    assert model.sizes.free
    assert model.parameters
    return {
        "answered_by": model.answered_by,
        "multiple": model.sizes.free.multiple,
        "qualities": model.parameters["quality"].values,
    }


def estimate() -> Observation:
    order = EstimateRequest(model="dall-e-3", prompt=TASK["prompt"], n=4)
    made = estimate_images.sync(client=client("limited_key"), body=order)
    assert isinstance(made, Estimate), made
    assert made.refused_by
    assert made.microusd
    limits = [limit.name for limit in made.limits]
    return {"microusd": made.microusd, "limits": limits, "refused_by": made.refused_by.param}


def usage() -> Observation:
    answer = get_usage.sync(client=client("key"))
    assert isinstance(answer, Usage), answer
    return {"team": answer.team, "images": sum(total.images for total in answer.totals)}


def limit() -> Observation:
    orders = [
        CreateImageRequest(prompt=f"{TASK['prompt']}, limited {take}", model="dall-e-3") for take in (0, 1)
    ]
    *_, answer = [create_image.sync_detailed(client=client("limited_key"), body=order) for order in orders]
    assert isinstance(answer.parsed, ErrorResponse), answer
    return {
        "status": answer.status_code.value,
        "code": answer.parsed.error.code,
        "retry_after": int(answer.headers["retry-after"]),
    }


def download() -> Observation:
    order = CreateImageRequest(prompt=TASK["prompt"], model="dall-e-3", n=4)
    answer = create_image.sync(client=client("key"), body=order)
    assert isinstance(answer, ImagesResponse), answer
    link = urlsplit(str(answer.data[0].url))
    query = {name: values[0] for name, values in parse_qs(link.query).items()}
    file = get_image_file.sync_detailed(
        link.path.rpartition("/")[2],
        client=Client(base_url=TASK["url"]),
        t=query["t"],
        exp=int(query["exp"]),
        sig=query["sig"],
    )
    assert isinstance(file.parsed, File), file
    return {"head": file.parsed.payload.read(8).hex(), "kind": file.headers["content-type"]}


def administer() -> Observation:
    created = admin_create_key.sync(
        client=client("admin_key"), body=CreateKeyRequest(team=TASK["team"], user="made-by-python")
    )
    assert isinstance(created, CreatedKey), created
    revoked = admin_revoke_key.sync(created.team, created.id, client=client("admin_key"))
    assert isinstance(revoked, Removed), revoked
    return {"id": created.id, "user": created.user, "revoked": revoked.deleted}


def budget() -> Observation:
    wanted = PutPolicyRequest(budget_per_month_microusd=25_000_000_000)
    put = admin_put_policy.sync("made-by-python", client=client("admin_key"), body=wanted)
    assert isinstance(put, PolicyEntry), put
    policies = admin_list_policies.sync(client=client("admin_key"))
    assert isinstance(policies, PolicyList), policies
    (listed,) = (policy for policy in policies.data if policy.name == "made-by-python")
    return {"put": put.budget_per_month_microusd, "listed": listed.budget_per_month_microusd}


OPERATIONS = {
    "generate": generate,
    "edit": edit,
    "vary": vary,
    "stream": stream_generation,
    "stream edit": stream_edit,
    "refused stream": refused_stream,
    "unreachable stream": unreachable_stream,
    "models": models,
    "details": details,
    "estimate": estimate,
    "usage": usage,
    "limit": limit,
    "download": download,
    "administer": administer,
    "budget": budget,
}

for name, operate in OPERATIONS.items():
    try:
        observed: Observation = {"observed": operate()}
    except Exception as error:  # noqa: BLE001 - the test tells it, and goes on to the next operation
        observed = {"crash": f"{type(error).__name__}: {error}"}
    sys.stdout.write(json.dumps({"operation": name, **observed}) + "\n")
