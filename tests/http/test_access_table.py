"""Compare every route with every role, in one table."""

import re
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import httpx
import pytest

from service.app import create_app
from service.settings.variables import Settings
from service.wiring.process import BackingServices
from tests.http.test_request_lines import line_of
from tests.processes import Gateway, run_gateway

ADMIN_KEY = "an-admin-key-of-the-tests"
ROLES = ("nobody", "user", "service", "admin")
EVERYBODY, KEYS, ADMINS = set(ROLES), {"user", "service", "admin"}, {"admin"}
OPEN = {
    "GET /",
    "GET /admin",
    "GET /docs",
    "GET /docs/swagger-ui-bundle.js",
    "GET /docs/swagger-ui.css",
    "GET /livez",
    "GET /openapi.json",
    "GET /readyz",
    "GET /v1/images/files/{name}",
    "GET /web/{name:path}",
    "HEAD /",
    "HEAD /admin",
    "HEAD /docs",
    "HEAD /livez",
    "HEAD /openapi.json",
    "HEAD /readyz",
    "HEAD /v1/images/files/{name}",
    "HEAD /web/{name:path}",
}
FOR_KEYS = {
    "DELETE /v1/images/files/{name}",
    "GET /v1/images/files/{name}/info",
    "GET /v1/models",
    "GET /v1/models/{model:path}",
    "GET /v1/usage",
    "POST /generate_image",
    "POST /v1/images/edits",
    "POST /v1/images/edits/stream",
    "POST /v1/images/estimate",
    "POST /v1/images/generations",
    "POST /v1/images/generations/stream",
    "POST /v1/images/variations",
    "POST /v1/images/variations/stream",
}
FOR_ADMINS = {
    "DELETE /admin/cache",
    "DELETE /admin/keys/{team}/{key_id}",
    "DELETE /admin/people/{user:path}",
    "DELETE /admin/policies/{name}",
    "GET /admin/audit",
    "GET /admin/cache",
    "GET /admin/keys",
    "GET /admin/policies",
    "GET /admin/teams",
    "GET /admin/usage",
    "GET /metrics",
    "POST /admin/keys",
    "PUT /admin/policies/{name}",
    "PUT /admin/teams/{name}",
}


def all_routes() -> set[str]:
    backing = BackingServices(redis_url="", sandbox_url=None, public_url="", secrets=("",))
    routes: Sequence[Any] = create_app(Settings.model_construct(), backing).routes
    return {f"{method} {route.path}" for route in routes for method in route.methods}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    settings = {"auth": "keys", "admin_key": ADMIN_KEY, "sandbox": "true"}
    with run_gateway(tmp_path_factory.mktemp("access"), **settings) as running:
        yield running


@pytest.fixture(scope="module")
def clients(gateway: Gateway) -> Iterator[dict[str, httpx.Client]]:
    admin = {"authorization": f"Bearer {ADMIN_KEY}"}
    given = {}
    for role in ("user", "service", "admin"):
        body = {"team": "access", "user": f"a {role}", "role": role}
        answer = httpx.post(f"{gateway.url}/admin/keys", json=body, headers=admin, trust_env=False)
        assert answer.status_code == 201, answer.text
        given[role] = {"authorization": f"Bearer {answer.json()['key']}"}
    clients = {
        role: httpx.Client(base_url=gateway.url, headers=given.get(role), trust_env=False) for role in ROLES
    }
    yield clients
    for client in clients.values():
        client.close()


def method_and_path_of(route: str) -> tuple[str, str]:
    """Return the method of a row, and its path with a value for each parameter."""
    method, _, path = route.partition(" ")
    for name in ("{model:path}", "{name}", "{team}", "{key_id}", "{user:path}"):
        path = path.replace(name, "nothing")
    return method, path


def test_the_table_has_every_route() -> None:
    assert all_routes() == OPEN | FOR_KEYS | FOR_ADMINS


@pytest.mark.parametrize("route", sorted(OPEN | FOR_KEYS | FOR_ADMINS))
def test_a_route_admits_the_roles_of_its_row(clients: dict[str, httpx.Client], route: str) -> None:
    method, path = method_and_path_of(route)
    statuses = {role: client.request(method, path).status_code for role, client in clients.items()}

    # A link is a credential of its own, and this one is none: 404 comes before anything else.
    admitted = {role for role, status in statuses.items() if status not in (401, 403)}
    assert admitted == (EVERYBODY if route in OPEN else KEYS if route in FOR_KEYS else ADMINS)
    assert route in OPEN or statuses["nobody"] == 401
    assert route not in FOR_ADMINS or (statuses["user"], statuses["service"]) == (403, 403)


@pytest.mark.parametrize("path", ["/nowhere", "/admin/nowhere", "/v1/images/files/a/b", "/web/../admin/keys"])
def test_unknown_paths_need_credentials(clients: dict[str, httpx.Client], path: str) -> None:
    assert clients["nobody"].get(path).status_code == 401


def test_a_refused_request_is_logged_and_counted_with_its_route(
    gateway: Gateway, clients: dict[str, httpx.Client]
) -> None:
    rows = [(*method_and_path_of(row), row.partition(" ")[2]) for row in sorted(FOR_KEYS | FOR_ADMINS)]
    rows += [("POST", "/openai/deployments/any/images/edits", "/v1/images/edits")]
    rows += [("PUT", "/v1/models", "/v1/models"), ("POST", "/openapi.json", "/openapi.json")]
    rows += [("GET", "/admin/nowhere", "other"), ("GET", "/v1", "other")]
    found = {}
    for method, path, _ in rows:
        request_id = uuid4().hex
        answer = clients["nobody"].request(method, path, headers={"x-request-id": request_id})
        assert answer.status_code == 401
        found[method, path] = line_of(gateway, request_id)["route"]

    assert found == {(method, path): route for method, path, route in rows}
    counted = re.findall(
        r'^imagegw_http_requests_total\{method="\w+",route="([^"]*)",status="401"}',
        clients["admin"].get("/metrics").text,
        re.MULTILINE,
    )
    assert set(counted) == {route for _, _, route in rows}


@pytest.mark.parametrize(
    "values",
    [
        ["Basic eDp5"],
        ["Bearer"],
        ["Bearer ig_short"],
        [f"Bearer ig_{'x' * 43}"],
        [f"Bearer {'x' * 9000}"],
        [f"Bearer {ADMIN_KEY}", f"Bearer {ADMIN_KEY}"],
        [f"Bearer {ADMIN_KEY[:-1]}"],
        [f"Bearer {ADMIN_KEY}x"],
        ["Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0."],
        ["Bearer *", "Bearer *"],
        ["Bearer ig:1:{access}:keys"],
    ],
)
def test_an_invalid_key_is_a_401_in_the_envelope(gateway: Gateway, values: list[str]) -> None:
    headers = [("authorization", value) for value in values]
    answer = httpx.get(f"{gateway.url}/v1/models", headers=headers, trust_env=False)

    assert answer.status_code == 401
    error = answer.json()["error"]
    assert (error["code"], error["type"], error["param"]) == (
        "invalid_api_key",
        "invalid_request_error",
        None,
    )
    assert answer.headers["www-authenticate"] == "Bearer"
    assert not any(part in answer.text for value in values if len(part := value[7:]) > 3)


def test_a_metrics_key_opens_only_metrics(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = {"auth": "keys", "metrics_key": "a-key-for-scrapers", "sandbox": "true"}
    headers = {"authorization": "Bearer a-key-for-scrapers"}
    with run_gateway(tmp_path_factory.mktemp("metrics"), **settings) as gateway:
        statuses = [
            httpx.get(f"{gateway.url}{path}", headers=headers, trust_env=False).status_code
            for path in ("/metrics", "/v1/models", "/admin/keys")
        ]

    assert statuses == [200, 401, 401]


@pytest.mark.parametrize(
    "path", ["/metrics%0A", "/admin/keys%0A", "/livez%0D", "/v1/models%00", "/metrics%7F"]
)
def test_a_control_character_opens_no_route(clients: dict[str, httpx.Client], path: str) -> None:
    answers = {client.get(path).status_code for client in clients.values()}

    assert answers == {400}
