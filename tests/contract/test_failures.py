"""Compare refusals, failures and rarer answers of a gateway with the contract."""

from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest

from tests.contract.conformance import faults_of
from tests.contract.conftest import Site
from tests.http.house import EDITS, GENERATIONS, VARIATIONS, png

MODEL = "gpt-image-2"
Ask = Callable[[Site, str], httpx.Response]


def order(client: httpx.Client, prompt: str, route: str = GENERATIONS, **fields: object) -> httpx.Response:
    return client.post(route, json={"model": MODEL, "prompt": prompt, "quality": "low", **fields})


def with_headers(site: Site, prompt: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return site.client.post(GENERATIONS, json={"model": MODEL, "prompt": prompt}, headers=named)


def as_other(site: Site, key: str, path: str, *, method: str = "POST") -> httpx.Response:
    with site.client_of(key) as client:
        return client.request(method, path)


def with_policy(site: Site, prompt: str, team: str, **policy: object) -> httpx.Response:
    with site.client_of(site.create_key(team, **policy)) as client:
        order(client, prompt)
        return order(client, f"another {prompt}")


def failing(site: Site, prompt: str, route: str = GENERATIONS, **behaviour: object) -> httpx.Response:
    site.house.behave(paint="flat", **behaviour)
    try:
        return order(site.client, prompt, route)
    finally:
        site.house.behave(paint="flat")


def repeated(site: Site, prompt: str, *, other: str) -> httpx.Response:
    """Return the second answer under one key, to the same order or to *other*."""
    with site.client_of(site.create_key("repeats")) as client:
        client.headers["idempotency-key"] = prompt
        order(client, prompt)
        return order(client, f"{other}{prompt}")


def partial(site: Site, prompt: str) -> httpx.Response:
    failures = [{"status": 400, "code": "odd", "count": 1}]
    site.house.behave(paint="flat", failures=failures, failure_match=prompt)
    body = {"model": "dall-e-3", "prompt": prompt, "n": 2}
    return site.client.post(GENERATIONS, json=body, headers={"prefer": "return=partial"})


def link_of(site: Site, prompt: str) -> str:
    parts = urlsplit(order(site.client, prompt, response_format="url").json()["data"][0]["url"])
    return f"{parts.path}?{parts.query}"


def deleted(site: Site, prompt: str) -> httpx.Response:
    link = link_of(site, prompt)
    site.client.delete(link.partition("?")[0]).raise_for_status()
    return site.client.get(link)


def of_link(site: Site, prompt: str, **headers: str) -> httpx.Response:
    link = link_of(site, prompt)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    etag = site.client.get(link).headers["etag"]
    return site.client.get(link, headers={name: value or etag for name, value in named.items()})


def old_order_beyond_a_rate(site: Site, prompt: str) -> httpx.Response:
    with site.client_of(site.create_key("old-rates", images_per_min=1)) as client:
        order(client, prompt)
        return client.post("/generate_image", json={"prompt": prompt})


CASES: dict[str, tuple[str, int, Ask]] = {
    "no prompt": ("createImage", 400, lambda site, _: order(site.client, "")),
    "refused": ("createImage", 400, lambda site, prompt: order(site.client, f"{prompt} forbidden-word")),
    "no key": ("createImage", 401, lambda site, _: as_other(site, "ig_no", GENERATIONS)),
    "other models only": (
        "createImage",
        403,
        lambda site, prompt: with_policy(site, prompt, "models", models=["dall-e-3"]),
    ),
    "a large body": ("createImage", 413, lambda site, _: order(site.client, "x" * 300_000)),
    "text": ("createImage", 415, lambda site, _: site.client.post(GENERATIONS, content="x")),
    "another order": ("createImage", 422, lambda site, prompt: repeated(site, prompt, other="no ")),
    "a repeat": ("createImage", 200, lambda site, prompt: repeated(site, prompt, other="")),
    "a rate": (
        "createImage",
        429,
        lambda site, prompt: with_policy(site, prompt, "rates", images_per_min=1),
    ),
    "a quota": (
        "createImage",
        429,
        lambda site, prompt: with_policy(site, prompt, "quotas", images_per_day=1),
    ),
    "the provider's rate": (
        "createImage",
        429,
        lambda site, prompt: failing(site, prompt, failures=[{"status": 429, "count": 20}]),
    ),
    "no answer": (
        "createImage",
        502,
        lambda site, prompt: failing(site, prompt, failures=[{"status": 200, "body": "html", "count": 20}]),
    ),
    "not cached": (
        "createImage",
        504,
        lambda site, prompt: with_headers(site, prompt, cache_control="only-if-cached"),
    ),
    "too little time": (
        "createImage",
        503,
        lambda site, prompt: with_headers(site, prompt, x_request_timeout_s="0.000001"),
    ),
    "a retired model": (
        "createImage",
        200,
        lambda site, prompt: order(site.client, prompt, model="dall-e-3"),
    ),
    "some are missing": ("createImage", 200, partial),
    "a stream": ("createImage", 200, lambda site, prompt: order(site.client, prompt, stream=True)),
    "a refused stream": (
        "createImageStream",
        400,
        lambda site, prompt: order(site.client, f"{prompt} forbidden-word", f"{GENERATIONS}/stream"),
    ),
    "a broken stream": (
        "createImageStream",
        200,
        lambda site, prompt: failing(site, prompt, f"{GENERATIONS}/stream", stream_fault="cut"),
    ),
    "an edit without an image": (
        "editImage",
        400,
        lambda site, prompt: site.client.post(EDITS, data={"prompt": prompt}, files={"mask": png()}),
    ),
    "a streamed edit as JSON": (
        "editImageStream",
        400,
        lambda site, prompt: order(site.client, prompt, f"{EDITS}/stream"),
    ),
    "a variation with a prompt": (
        "createImageVariation",
        400,
        lambda site, prompt: site.client.post(VARIATIONS, data={"prompt": prompt}, files={"image": png()}),
    ),
    "an old order without a prompt": (
        "generateImage",
        400,
        lambda site, _: site.client.post("/generate_image", json={}),
    ),
    "an old order that is refused": (
        "generateImage",
        500,
        lambda site, prompt: site.client.post("/generate_image", json={"prompt": f"{prompt} forbidden-word"}),
    ),
    "an old order of nobody": (
        "generateImage",
        401,
        lambda site, _: as_other(site, "ig_no", "/generate_image"),
    ),
    "an old order beyond a rate": ("generateImage", 429, old_order_beyond_a_rate),
    "an old order as text": (
        "generateImage",
        415,
        lambda site, _: site.client.post("/generate_image", content="x"),
    ),
    "a part of a file": ("getImageFile", 206, lambda site, prompt: of_link(site, prompt, range="bytes=0-9")),
    "a known file": ("getImageFile", 304, lambda site, prompt: of_link(site, prompt, if_none_match="")),
    "no part": ("getImageFile", 416, lambda site, prompt: of_link(site, prompt, range="bytes=99999999-")),
    "a wrong link": (
        "getImageFile",
        403,
        lambda site, prompt: site.client.get(link_of(site, prompt).replace("sig=", "sig=x")),
    ),
    "no file": ("getImageFile", 404, lambda site, _: site.client.get("/v1/images/files/none")),
    "a deleted file": ("getImageFile", 410, deleted),
    "an unknown image": (
        "getImageInfo",
        404,
        lambda site, _: site.client.get(f"/v1/images/files/{'0' * 64}.png/info"),
    ),
    "an unknown model": ("getModel", 404, lambda site, _: site.client.get("/v1/models/none")),
    "usage of a year": ("getUsage", 400, lambda site, _: site.client.get("/v1/usage?from=2020-01-01")),
    "a table": ("adminGetUsage", 200, lambda site, _: site.client.get("/admin/usage?format=csv")),
    "an unknown key": ("adminRevokeKey", 404, lambda site, _: site.client.delete("/admin/keys/shop/none")),
    "a key of an unknown policy": (
        "adminCreateKey",
        404,
        lambda site, _: site.client.post(
            "/admin/keys", json={"team": "shop", "user": "anna", "policy": "none"}
        ),
    ),
    "a policy without sense": (
        "adminPutPolicy",
        400,
        lambda site, _: site.client.put("/admin/policies/bad", json={"max_n": -1}),
    ),
    "an unknown policy": (
        "adminRemovePolicy",
        404,
        lambda site, _: site.client.delete("/admin/policies/none"),
    ),
    "no admin": (
        "adminListKeys",
        403,
        lambda site, _: as_other(site, site.create_key("users"), "/admin/keys", method="GET"),
    ),
    "an odd word": ("getReadiness", 400, lambda site, _: site.client.get("/readyz?verbose=perhaps")),
    "large headers": (
        "getLiveness",
        431,
        lambda site, _: site.client.get("/livez", headers={"x-large": "x" * 40_000}),
    ),
}


def test_differences_are_found() -> None:
    body = {"object": "list", "data": [{"id": 1, "object": "model", "created": 2**40, "odd": ""}]}
    model = "$.data[0]"

    assert faults_of("listModels", httpx.Response(418)) == ["status 418"]
    assert faults_of("listModels", httpx.Response(200, headers={"x-odd": "1"}, json=body)) == [
        "header x-odd",
        f"{model}.owned_by is missing",
        f"{model}.shutdown_date is missing",
        f"{model}.answered_by is missing",
        f"{model}.id: 1 is no string",
        f"{model}.odd is not declared",
    ]
    assert faults_of("getMetrics", httpx.Response(200, html="")) == ["type 'text/html' of 200"]


@pytest.mark.parametrize("case", CASES)
def test_an_answer_is_as_the_contract_says(site: Site, prompt: str, case: str) -> None:
    operation, status, ask = CASES[case]

    answer = ask(site, prompt)

    assert answer.status_code == status, answer.text
    assert faults_of(operation, answer) == []
