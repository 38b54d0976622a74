"""A gateway serves on the Redis of an earlier version: keys, policies, budgets spent and the ledger are carried over.

`redis-2026-11-30.json` is what a gateway of that day left, killed with one of its three orders in flight. Its day and
its month are read as today's.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from redis import Redis

from tests.processes import run_gateway, run_valkey

STATE = Path(__file__).with_name("redis-2026-11-30.json")
SECRET = "the-secret-of-these-tests"
ADMIN_KEY = "operator-key-of-these-tests"
SPENT_MICROUSD = 105_385


def load(url: str, keys: dict[str, Any]) -> None:
    with Redis(unix_socket_path=url.removeprefix("unix://")) as redis:
        for name, (kind, value) in keys.items():
            match kind:
                case "string":
                    redis.set(name, value)
                case "hash":
                    redis.hset(name, mapping=value)
                case "zset":
                    redis.zadd(name, value)
                case "set":
                    redis.sadd(name, *value)
                case _:
                    for entry in value:
                        redis.xadd(name, entry)


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Clients of the caller and of the operator."""
    text = STATE.read_text("utf-8")
    now = datetime.now(UTC)
    for then, today in ("20261130", f"{now:%Y%m%d}"), ("202611|", f"{now:%Y%m}|"):
        text = text.replace(then, today)
    state = orjson.loads(text)
    with run_valkey() as valkey:
        load(valkey.url, state["keys"])
        settings = {"auth": "keys", "admin_key": ADMIN_KEY, "secrets": SECRET, "sandbox": "true"}
        with run_gateway(tmp_path_factory.mktemp("data"), redis_url=valkey.url, **settings) as gateway:
            made = [
                httpx.Client(
                    base_url=gateway.url,
                    headers={"authorization": f"Bearer {token}"},
                    trust_env=False,
                    timeout=60,
                )
                for token in (state["token"], ADMIN_KEY)
            ]
            yield made[0], made[1]
            for client in made:
                client.close()


def test_what_was_spent_still_counts(clients: tuple[httpx.Client, httpx.Client]) -> None:
    caller, _ = clients
    use = caller.get("/v1/usage").raise_for_status().json()

    totals = [(one["outcome"], one["images"], one["microusd"]) for one in use["totals"]]
    assert totals == [("made", 2, SPENT_MICROUSD)]
    used = {(one["scope"], one["name"]): one["used"] for one in use["limits"]}
    for scope in ("key", "team"):
        assert used[scope, "images_per_day"] == 2
        assert used[scope, "images_in_flight"] == 0
        assert used[scope, "budget_per_month_microusd"] == SPENT_MICROUSD


def test_policies_teams_keys_and_the_audit_are_there(clients: tuple[httpx.Client, httpx.Client]) -> None:
    _, admin = clients
    policies = admin.get("/admin/policies").raise_for_status().json()["data"]
    keys = admin.get("/admin/keys").raise_for_status().json()["data"]
    audit = admin.get("/admin/audit").raise_for_status().json()["data"]

    assert [one["images_per_day"] for one in policies if one["name"] == "small"] == [4]
    assert [(one["team"], one["user"]) for one in keys] == [("design", "ann")]
    assert [one["act"] for one in audit][-3:] == ["create_key", "put_team", "put_policy"]


def test_sums_of_then_name_no_backend(clients: tuple[httpx.Client, httpx.Client]) -> None:
    _, admin = clients
    rows = admin.get("/admin/usage").raise_for_status().json()["data"]

    made = [row for row in rows if row["outcome"] == "made"]
    assert [(row["team"], row["images"], row["backend"]) for row in made] == [("design", 2, "")]
    assert made[0]["model"].startswith("gpt-image-")


def test_orders_go_on_up_to_the_limit(clients: tuple[httpx.Client, httpx.Client]) -> None:
    caller, _ = clients
    answers = [
        caller.post("/v1/images/generations", json={"model": "dall-e-3", "prompt": f"boat {number}"})
        for number in range(3)
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "images per day" in answers[-1].json()["error"]["message"]
