"""Every path names its methods; admin routes take nothing that they do not know, orders stay as lenient as OpenAI's."""

from collections.abc import Iterator

import httpx
import pytest

from tests.contract.published import published
from tests.http.house import GENERATIONS, check_error
from tests.http.tenants import ADMIN_KEY, Tenants

PATHS = published()["paths"]
ADMIN = [
    (method, path)
    for path, operations in PATHS.items()
    if path.startswith("/admin/")
    for method in operations
]


@pytest.fixture(scope="module")
def admin(tenants: Tenants) -> Iterator[httpx.Client]:
    with tenants.client_of(ADMIN_KEY) as client:
        yield client


def test_allow_names_every_method_of_a_path(admin: httpx.Client) -> None:
    for path, operations in PATHS.items():
        answer = admin.patch(path.replace("{", "").replace("}", ""))

        check_error(answer, 405, code="method_not_allowed", param=None)
        named = answer.headers["allow"].split(", ")
        assert set(named) - {"HEAD"} == {method.upper() for method in operations}, path
        assert named == sorted(named)


def test_head_is_named_where_it_is_answered(admin: httpx.Client) -> None:
    assert admin.post("/livez").headers["allow"] == "GET, HEAD"
    assert admin.post("/v1/usage").headers["allow"] == "GET"


@pytest.mark.parametrize(("method", "path"), ADMIN)
def test_admin_routes_refuse_unknown_queries(admin: httpx.Client, method: str, path: str) -> None:
    url = path.replace("{", "").replace("}", "")
    answer = admin.request(method, f"{url}?nonsense=1", json={} if method in ("post", "put") else None)

    check_error(answer, 400, code="unknown_parameter", param="nonsense")


@pytest.mark.parametrize(
    ("method", "path", "body", "param"),
    [
        ("POST", "keys", {"team": "strict", "user": "b", "role": None}, "role"),
        ("POST", "keys", {"team": None, "user": "b"}, "team"),
        ("PUT", "policies/strict", {"cache": None}, "cache"),
        ("PUT", "policies/strict", {"max_size": None}, "max_size"),
        ("PUT", "policies/strict", {"images_per_day": None}, "images_per_day"),
        ("PUT", "teams/strict", {"closed": None}, "closed"),
    ],
)
def test_admin_routes_refuse_nulls_without_a_meaning(
    admin: httpx.Client, method: str, path: str, body: dict[str, object], param: str
) -> None:
    answer = admin.request(method, f"/admin/{path}", json=body)

    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param
    assert answer.json()["error"]["message"].endswith(", but got null instead.")


@pytest.mark.parametrize("path", ["policies/strict", "teams/strict"])
def test_a_null_hides_no_unknown_field(admin: httpx.Client, path: str) -> None:
    answer = admin.put(f"/admin/{path}", json={"unheard_of": None})

    check_error(answer, 400, code="unknown_parameter", param="unheard_of")


def test_documented_nulls_keep_their_meaning(admin: httpx.Client) -> None:
    policy = admin.put("/admin/policies/nullable", json={"cache_scope": None})
    assert (policy.status_code, policy.json()["cache_scope"]) == (200, None)
    team = admin.put("/admin/teams/nullable", json={"policy": "nullable"})
    assert (team.status_code, team.json()["policy"], team.json()["closed"]) == (200, "nullable", False)
    assert admin.put("/admin/teams/nullable", json={"policy": None}).json()["policy"] is None
    body = {"team": "nullable", "user": "b", "policy": None, "expires_at": None}
    assert admin.post("/admin/keys", json=body).status_code == 201


def test_a_null_in_an_order_is_absent(tenants: Tenants, prompt: str) -> None:
    nulls = {"n": None, "size": None, "quality": None, "user": None, "response_format": None}
    with tenants.client("shop", "anna") as client:
        answer = client.post(GENERATIONS, json={"model": "dall-e-3", "prompt": prompt, **nulls})

    assert answer.status_code == 200, answer.text


def test_admin_routes_take_every_spelling_of_an_integer(admin: httpx.Client) -> None:
    policy = {"images_per_min": 60.0, "budget_per_month_microusd": 2.5e10}

    answer = admin.put("/admin/policies/spelled", json=policy)

    assert answer.status_code == 200, answer.text
    assert answer.json()["images_per_min"] == 60
    assert answer.json()["budget_per_month_microusd"] == 25_000_000_000
