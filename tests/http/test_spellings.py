"""Call the API by the paths that clients call it by; none of them opens more than its route."""

from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from service.http.spellings import spell
from tests.http.house import BOUNDARY, EDITS, GENERATIONS, VARIATIONS, check_error, file, form, png, text
from tests.http.offices import ADMIN_KEY, Office, open_office
from tests.http.test_access_table import all_routes
from tests.http.test_request_lines import line_of
from tests.processes import Gateway

PREFIXES = (
    "",
    "/",
    "/v1",
    "//v1/",
    "/openai",
    "/openai/v1",
    "/openai//v1",
    "/openai/deployments/gpt-image-2",
)
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A gateway that needs keys."""
    with open_office(tmp_path_factory.mktemp("spellings")) as office:
        yield office


@pytest.mark.parametrize("suffix", ["", "/", "//"])
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("route", [GENERATIONS, EDITS, VARIATIONS, "/v1/models", "/v1/models/acme/own"])
def test_every_spelling_is_a_route(route: str, prefix: str, suffix: str) -> None:
    if "deployments" in prefix and "models" in route:
        assert spell(f"{prefix}/models{suffix}") == (f"{prefix}/models{suffix}", None)
        return

    path, deployment = spell(f"{prefix}{route.removeprefix('/v1')}{suffix}")

    assert path == route
    assert deployment == ("gpt-image-2" if "deployments" in prefix else None)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/generate_image/", "/generate_image"),
        ("//generate_image", "/generate_image"),
        ("/usage", "/v1/usage"),
        ("/v1/usage/", "/v1/usage"),
        ("/v1//images//files/a.png/info", "/v1/images/files/a.png/info"),
        ("/images/generations/stream", "/v1/images/generations/stream"),
    ],
)
def test_other_routes_of_callers_are_spelt_alike(path: str, route: str) -> None:
    assert spell(path) == (route, None)


@pytest.mark.parametrize("name", ["dall-e-3", "acme/own model", "images", "deployments/images", "v1"])
def test_a_deployment_may_have_any_name(name: str) -> None:
    assert spell(f"/openai/deployments/{name}/images/edits") == (EDITS, name)
    assert spell(f"/openai/deployments/{name}/images/edits/stream") == (f"{EDITS}/stream", name)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "//",
        "/livez/",
        "//metrics",
        "/v1",
        "/v1/",
        "/openai",
        "/openai/deployments/images/generations",
        "/openai/deployments/dall-e-3/chat/completions",
        "/openai/admin/keys",
        "/v1/admin/keys",
        "/v1/generate_image",
        "//admin//people//https://issuer.example//anna",
        "/admin/people/https://issuer.example/images/",
        "/IMAGES/generations",
        "/x/v1/images/generations",
        "/v1/v1/images/generations",
        "/openai/../admin/keys",
        "/./images/generations",
    ],
)
def test_other_paths_stay_as_they_are(path: str) -> None:
    assert spell(path) == (path, None)


def test_routes_are_spelt_right() -> None:
    for route in all_routes():
        path = route.partition(" ")[2]
        assert spell(path) == (path, None)


parts = st.sampled_from(
    ["", "/", "//", "v1", "openai", "deployments", "images", "models", "files", "admin", "..", ".", "x", "\n"]
)


@given(st.lists(parts, max_size=12).map("/".join))
@example("/openai/deployments" + "/" * 30_000)
def test_a_spelling_leads_to_one_route_and_never_to_an_admins(path: str) -> None:
    route, _ = spell(path)

    assert spell(route) == (route, None)
    assert route == path or route.startswith(("/v1/images", "/v1/models", "/v1/usage", "/generate_image"))


@pytest.mark.parametrize("prefix", PREFIXES)
def test_orders_are_taken_by_every_spelling(
    gateway: Gateway, client: httpx.Client, prompt: str, prefix: str
) -> None:
    request_id, url = uuid4().hex, f"{gateway.url}{prefix}/images/generations"

    answer = client.post(
        f"{url}/?api-version=2025-04-01-preview",
        json={"model": "gpt-image-2", "prompt": prompt},
        headers={"x-request-id": request_id},
    )

    assert (answer.status_code, answer.history) == (200, [])
    assert answer.headers["x-model-sent"] == "gpt-image-2"
    assert line_of(gateway, request_id)["route"] == GENERATIONS


@pytest.mark.parametrize("model", ["dall-e-2", None], ids=str)
def test_the_deployment_of_the_path_decides(client: httpx.Client, prompt: str, model: str | None) -> None:
    answer = client.post(
        "/openai/deployments/dall-e-3/images/generations",
        json={"prompt": prompt, "style": "natural", "size": "1792x1024"}
        | ({"model": model} if model else {}),
    )

    assert answer.status_code == 200, answer.text
    assert answer.json()["data"][0]["revised_prompt"]


@pytest.mark.usefixtures("nothing_spent")
def test_an_unknown_deployment_is_an_unknown_model(client: httpx.Client, prompt: str) -> None:
    url = "/openai/deployments/our-images/images/generations"

    answer = client.post(url, json={"model": "dall-e-3", "prompt": prompt})

    check_error(answer, 400, code="invalid_value", param="model")
    assert "our-images" in answer.json()["error"]["message"]


def test_forms_are_taken_by_every_spelling(client: httpx.Client, prompt: str) -> None:
    edit = form(text("prompt", prompt), file("image", png()))
    vary = form(file("image", png()))

    edited = client.post("/openai/deployments/gpt-image-2/images/edits", content=edit, headers=FORM)
    varied = client.post("/openai/images/variations/", content=vary, headers=FORM)

    assert (edited.status_code, varied.status_code) == (200, 200), edited.text
    assert edited.headers["x-model-sent"] == "gpt-image-2"


def test_metrics_know_the_route_only(gateway: Gateway, client: httpx.Client) -> None:
    client.post(f"{gateway.url}/openai//images/generations", content=b"")

    families = text_string_to_metric_families(client.get("/metrics").text)
    routes = {sample.labels.get("route") for family in families for sample in family.samples}
    assert GENERATIONS in routes
    assert not any(route.startswith(("/openai", "/images")) for route in routes if route)


def test_a_wrong_method_is_told_by_every_spelling(client: httpx.Client) -> None:
    answer = client.get("/openai/deployments/dall-e-3/images/generations")

    check_error(answer, 405, code="method_not_allowed", param=None)
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_spelling_needs_the_credentials_of_its_route(office: Office, prefix: str) -> None:
    for path, status in {
        "/images/generations": 401,
        "/models": 401,
        "/admin/keys": 401,
        # A link is a credential of its own, and this is none.
        "/images/files/nothing": 404,
        "/images/files/nothing/info": 401,
    }.items():
        assert httpx.get(f"{office.gateway.url}{prefix}{path}", trust_env=False).status_code == status


def test_a_key_may_come_in_the_header_of_azure(office: Office) -> None:
    headers = {"api-key": office.create_key()["key"]}
    url = f"{office.gateway.url}/openai/deployments/dall-e-3/images/generations"

    answers = [
        httpx.get(f"{office.gateway.url}/v1/models", headers=headers, trust_env=False),
        httpx.post(url, json={"prompt": uuid4().hex}, headers=headers, trust_env=False),
        httpx.get(f"{office.gateway.url}/admin/keys", headers={"api-key": ADMIN_KEY}, trust_env=False),
        httpx.get(f"{office.gateway.url}/admin/keys", headers=headers, trust_env=False),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 403]
    assert headers["api-key"] not in office.gateway.log.read_text("utf-8")


def test_a_key_may_come_in_both_headers(office: Office) -> None:
    """As AzureOpenAI of openai-python 1.x sends it."""
    key = office.create_key()["key"]
    headers = {"api-key": key, "authorization": f"Bearer {key}"}

    answer = httpx.get(f"{office.gateway.url}/openai/models", headers=headers, trust_env=False)

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "headers",
    [
        [("api-key", "ig_wrong")],
        [("api-key", "")],
        [("api-key", "x" * 9000)],
        [("api-key", ADMIN_KEY), ("api-key", ADMIN_KEY)],
        [("api-key", f"Bearer {ADMIN_KEY}")],
        [("api-key", ADMIN_KEY), ("authorization", "Basic eDp5")],
        [("api-key", ADMIN_KEY), ("authorization", "Bearer ig_wrong")],
    ],
    ids=[
        "unknown",
        "empty",
        "too long",
        "two",
        "with a scheme",
        "another scheme",
        "another key",
    ],
)
def test_a_wrong_key_is_refused_in_either_header(office: Office, headers: list[tuple[str, str]]) -> None:
    answer = httpx.get(f"{office.gateway.url}/v1/models", headers=headers, trust_env=False)

    check_error(answer, 401, code="invalid_api_key", param=None)
    assert ADMIN_KEY not in answer.text
