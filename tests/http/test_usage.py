"""`GET /v1/usage`: what was spent, what is left, and that asking costs nothing."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.adapters.redis.client.client import open_client
from tests.http.offices import Office, open_office
from tests.processes import run_gateway, run_valkey

ORDER = {"model": "dall-e-3", "prompt": "a lighthouse"}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    limits = {"default_policy__requests_per_min": 7, "default_policy__images_per_min": 0}
    with open_office(tmp_path_factory.mktemp("office"), **limits) as office:
        yield office


def limits_of(usage: dict[str, Any]) -> dict[tuple[str, str], tuple[int, int]]:
    """Return (limit, used) by scope and name."""
    for limit in usage["limits"]:
        assert limit["used"] + limit["remaining"] == limit["limit"]
    return {(limit["scope"], limit["name"]): (limit["limit"], limit["used"]) for limit in usage["limits"]}


def test_it_tells_what_was_spent_and_what_is_left(office: Office) -> None:
    policy = office.put_policy(
        images_per_day=10,
        images_in_flight=3,
        budget_per_month_microusd=5_000_000,
        models=["dall-e-3", "gpt-image-2"],
        max_n=4,
        max_size="1024x1024",
    )
    created = office.create_key(policy=policy)
    with office.client(created["key"]) as user:
        made = user.post("/v1/images/generations", json={**ORDER, "n": 2})
        user.post("/v1/images/generations", json={**ORDER, "n": 2}).raise_for_status()
        usage = user.get("/v1/usage").json()

    cost = int(made.headers["x-cost-microusd"])
    assert cost > 0
    today = datetime.now(UTC).date()
    (entry,) = usage["data"]
    (total,) = usage["totals"]
    assert (entry["day"], entry["realm"], entry["outcome"]) == (today.isoformat(), "sandbox", "made")
    assert (entry["images"], entry["microusd"], entry["unpriced"]) == (2, cost, 0)
    assert (total["images"], total["microusd"]) == (2, cost)
    assert limits_of(usage) == {
        ("user", "requests_per_min"): (7, 2),
        ("key", "images_per_day"): (10, 2),
        ("key", "images_in_flight"): (3, 0),
        ("key", "budget_per_month_microusd"): (5_000_000, cost),
    }
    resets = {limit["name"]: limit["resets_at"] for limit in usage["limits"]}
    assert resets["images_in_flight"] is None
    assert resets["images_per_day"].startswith((today + timedelta(days=1)).isoformat() + "T00:00:00")
    assert usage["policies"] == [
        {"scope": "user", "policy": "default"},
        {"scope": "key", "policy": policy},
        {"scope": "team", "policy": "none"},
    ]
    assert (sorted(usage["models"]), usage["max_n"], usage["max_size"]) == (
        ["dall-e-3", "gpt-image-2"],
        4,
        "1024x1024",
    )
    assert (usage["team"], usage["key"]) == (created["team"], created["hint"])
    assert usage["first_day"] == today.replace(day=1).isoformat()


def test_asking_is_charged_to_no_limit(office: Office) -> None:
    with office.client(office.create_key()["key"]) as user:
        usages = [user.get("/v1/usage").json() for _ in range(20)]

    assert {limits_of(usage)["user", "requests_per_min"] for usage in usages} == {(7, 0)}


def test_nobody_sees_what_others_spent(office: Office) -> None:
    one = office.create_key(user="frank")
    other = office.create_key(team=one["team"], user="grace")
    with office.client(one["key"]) as frank, office.client(other["key"]) as grace:
        frank.post("/v1/images/generations", json=ORDER).raise_for_status()
        usage = grace.get("/v1/usage").json()
        asked = grace.get("/v1/usage?user=frank")

    assert usage["data"] == []
    assert (asked.status_code, asked.json()["error"]["code"]) == (403, "insufficient_permissions")


def test_a_service_may_ask_for_its_end_users(office: Office) -> None:
    with office.client(office.create_key(role="service", user="app")["key"]) as service:
        service.post("/v1/images/generations", json={**ORDER, "user": "end-user-1"}).raise_for_status()
        own = service.get("/v1/usage").json()
        theirs = service.get("/v1/usage?user=end-user-1").json()
        others = service.get("/v1/usage?user=end-user-2").json()

    assert own["data"] == others["data"] == []
    assert theirs["data"][0]["images"] == 1
    assert theirs["user"] != own["user"]
    assert limits_of(theirs)["user", "requests_per_min"] == (7, 1)
    assert limits_of(own)["user", "requests_per_min"] == (7, 0)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("days=3", "days"),
        ("from=2026-1-1x", "from"),
        ("from=2026-11-02&to=2026-11-01", "from"),
        ("from=2026-01-01&to=2026-11-01", "from"),
        ("from=2026-11-01&from=2026-11-02", "from"),
    ],
)
def test_a_query_that_cannot_be_is_a_400(office: Office, query: str, param: str) -> None:
    answer = office.admin.get(f"/v1/usage?{query}")

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_days_can_be_chosen(office: Office) -> None:
    with office.client(office.create_key()["key"]) as user:
        user.post("/v1/images/generations", json=ORDER).raise_for_status()
        today = datetime.now(UTC).date()
        before = user.get(
            f"/v1/usage?from={today - timedelta(days=91)}&to={today - timedelta(days=1)}"
        ).json()
        until_now = user.get(f"/v1/usage?from={today - timedelta(days=91)}").json()

    assert before["data"] == []
    assert len(until_now["data"]) == 1


@pytest.mark.slow
def test_without_redis_it_is_a_503_and_no_guess(tmp_path: Path) -> None:
    with (
        run_valkey(port=0) as valkey,
        run_gateway(tmp_path, redis_url=valkey.url) as gateway,
        httpx.Client(base_url=gateway.url, trust_env=False, timeout=20) as client,
    ):
        assert client.get("/v1/usage").status_code == 200
        valkey.process.kill()
        valkey.process.wait()

        answers = [client.get("/v1/usage") for _ in range(5)]

    assert {answer.status_code for answer in answers} == {503}
    assert {answer.json()["error"]["code"] for answer in answers} == {"state_unavailable"}


async def test_limits_that_cannot_be_read_are_no_guess(office: Office) -> None:
    """The ledger still answers; a local share of the limits would look like the whole truth."""
    with office.client(office.create_key()["key"]) as user:
        usage = user.get("/v1/usage").json()
        state = open_client(f"unix://{office.data_dir}/valkey/valkey.sock", timeout_s=2, connections=1)
        await state.set(f"ig:1:{{{usage['team']}}}:limits:user:{usage['user']}", "no hash")
        await state.aclose()

        answer = user.get("/v1/usage")

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "state_unavailable")


@pytest.mark.slow
def test_in_open_mode_it_is_of_whoever_the_request_names(tmp_path: Path) -> None:
    with (
        run_gateway(tmp_path) as gateway,
        httpx.Client(base_url=gateway.url, trust_env=False, timeout=20) as client,
    ):
        client.post("/v1/images/generations", json={**ORDER, "user": "hank"}).raise_for_status()
        usages = {name: client.get(f"/v1/usage?user={name}").json() for name in ("hank", "iris")}
        refused = client.get("/admin/keys")

    assert (len(usages["hank"]["data"]), usages["iris"]["data"]) == (1, [])
    assert usages["hank"]["key"] is None
    assert refused.status_code == 403
