"""Read spending and the rest of each limit, at no cost: `GET /v1/usage`."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.adapters.redis.client.client import open_client
from tests.http.callers import Caller
from tests.http.offices import Office, open_office
from tests.processes import run_gateway, run_valkey

PROMPT = "a lighthouse"
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    limits = {"default_policy__requests_per_min": 7, "default_policy__images_per_min": 0}
    with open_office(tmp_path_factory.mktemp("office"), **limits) as office:
        yield office


@dataclass(frozen=True, slots=True)
class Spent:
    """Usage after two equal orders of two images, of which the second was a hit."""

    usage: dict[str, Any]
    cost_microusd: int
    hit_microusd: int
    policy: str
    key: dict[str, Any]
    day: date


@pytest.fixture(scope="module")
def spent(office: Office) -> Spent:
    policy = office.put_policy(
        images_per_day=10,
        images_in_flight=3,
        budget_per_month_microusd=5_000_000,
        models=["dall-e-3", "gpt-image-2"],
        max_n=4,
        max_size="1024x1024",
    )
    key = office.create_key(policy=policy)
    with office.caller(key) as user:
        made = user.asks_for(PROMPT, n=2)
        hit = user.asks_for(PROMPT, n=2)
        usage = user.reads_usage()
    cost, hit_cost = (int(answer.headers["x-cost-microusd"]) for answer in (made, hit))
    return Spent(usage, cost, hit_cost, policy, key, today())


def today() -> date:
    return datetime.now(UTC).date()


def limits_of(usage: dict[str, Any]) -> dict[tuple[str, str], tuple[int, int]]:
    """Return (limit, used) by scope and name."""
    for limit in usage["limits"]:
        assert limit["used"] + limit["remaining"] == limit["limit"]
    return {(limit["scope"], limit["name"]): (limit["limit"], limit["used"]) for limit in usage["limits"]}


def resets_of(usage: dict[str, Any]) -> dict[str, Any]:
    return {limit["name"]: limit["resets_at"] for limit in usage["limits"]}


def check_unknown(answer: httpx.Response) -> None:
    """Check that the gateway says that it does not know, and does not guess."""
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "state_unavailable")


def test_images_are_counted_and_paid_for_once(spent: Spent) -> None:
    (entry,) = spent.usage["data"]

    assert spent.cost_microusd > 0
    assert spent.hit_microusd == 0
    assert (entry["images"], entry["microusd"], entry["unpriced"]) == (2, spent.cost_microusd, 0)


def test_an_entry_names_its_day_realm_and_outcome(spent: Spent) -> None:
    (entry,) = spent.usage["data"]

    assert (entry["day"], entry["realm"], entry["outcome"]) == (spent.day.isoformat(), "sandbox", "made")


def test_a_total_is_the_sum_of_its_entries(spent: Spent) -> None:
    (total,) = spent.usage["totals"]

    assert (total["images"], total["microusd"]) == (2, spent.cost_microusd)


def test_every_limit_has_used_and_remaining(spent: Spent) -> None:
    assert limits_of(spent.usage) == {
        ("user", "requests_per_min"): (7, 2),
        ("key", "images_per_day"): (10, 2),
        ("key", "images_in_flight"): (3, 0),
        ("key", "budget_per_month_microusd"): (5_000_000, spent.cost_microusd),
    }


def test_a_limit_of_a_day_is_reset_at_midnight(spent: Spent) -> None:
    midnight = f"{spent.day + DAY}T00:00:00"

    assert resets_of(spent.usage)["images_per_day"].startswith(midnight)


def test_a_limit_of_images_in_flight_is_never_reset(spent: Spent) -> None:
    assert resets_of(spent.usage)["images_in_flight"] is None


def test_policies_are_named_by_scope(spent: Spent) -> None:
    assert spent.usage["policies"] == [
        {"scope": "user", "policy": "default"},
        {"scope": "key", "policy": spent.policy},
        {"scope": "team", "policy": "none"},
    ]


def test_the_rules_of_a_policy_are_listed(spent: Spent) -> None:
    usage = spent.usage

    assert sorted(usage["models"]) == ["dall-e-3", "gpt-image-2"]
    assert (usage["max_n"], usage["max_size"]) == (4, "1024x1024")


def test_the_team_and_the_hint_of_the_key_are_named(spent: Spent) -> None:
    assert (spent.usage["team"], spent.usage["key"]) == (spent.key["team"], spent.key["hint"])


def test_usage_begins_with_the_month(spent: Spent) -> None:
    assert spent.usage["first_day"] == spent.day.replace(day=1).isoformat()


def test_reading_usage_counts_against_no_limit(office: Office) -> None:
    with office.caller(office.create_key()) as user:
        usages = [user.reads_usage() for _ in range(20)]

    assert {limits_of(usage)["user", "requests_per_min"] for usage in usages} == {(7, 0)}


@pytest.fixture
def frank_and_grace(office: Office) -> Iterator[tuple[Caller, Caller]]:
    """Users of one team."""
    frank = office.create_key(user="frank")
    grace = office.create_key(user="grace", team=frank["team"])
    with office.caller(frank) as one, office.caller(grace) as other:
        yield one, other


def test_a_user_does_not_see_what_a_colleague_spent(frank_and_grace: tuple[Caller, Caller]) -> None:
    frank, grace = frank_and_grace
    frank.orders(PROMPT)

    usage = grace.reads_usage()

    assert usage["data"] == []


def test_a_user_may_not_ask_for_a_colleague(frank_and_grace: tuple[Caller, Caller]) -> None:
    frank, grace = frank_and_grace
    frank.orders(PROMPT)

    answer = grace.asks_for_usage(user="frank")

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "insufficient_permissions")


@pytest.fixture
def app(office: Office) -> Iterator[Caller]:
    """A service that has ordered for its end user 1."""
    with office.caller(office.create_key(role="service", user="app")) as app:
        app.orders(PROMPT, user="end-user-1")
        yield app


def test_a_service_reads_what_its_end_user_spent(app: Caller) -> None:
    usage = app.reads_usage(user="end-user-1")

    assert usage["data"][0]["images"] == 1
    assert limits_of(usage)["user", "requests_per_min"] == (7, 1)


def test_what_an_end_user_spends_is_charged_to_no_other(app: Caller) -> None:
    own, others = app.reads_usage(), app.reads_usage(user="end-user-2")

    assert own["data"] == others["data"] == []
    assert limits_of(own)["user", "requests_per_min"] == (7, 0)


def test_a_service_and_its_end_user_are_different_users(app: Caller) -> None:
    assert app.reads_usage(user="end-user-1")["user"] != app.reads_usage()["user"]


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
def test_an_invalid_query_is_refused(office: Office, query: str, param: str) -> None:
    answer = office.admin.get(f"/v1/usage?{query}")

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(("days_ago", "entries"), [(1, 0), (0, 1)])
def test_a_user_chooses_days(office: Office, days_ago: int, entries: int) -> None:
    with office.caller(office.create_key()) as user:
        user.orders(PROMPT)

        usage = user.reads_usage(**{"from": f"{today() - 91 * DAY}", "to": f"{today() - days_ago * DAY}"})

    assert len(usage["data"]) == entries


def test_days_end_today_unless_chosen(office: Office) -> None:
    with office.caller(office.create_key()) as user:
        user.orders(PROMPT)

        usage = user.reads_usage(**{"from": f"{today() - 91 * DAY}"})

    assert len(usage["data"]) == 1


@pytest.mark.slow
def test_without_redis_usage_is_unknown(tmp_path: Path) -> None:
    with (
        run_valkey(port=0) as valkey,
        run_gateway(tmp_path, redis_url=valkey.url) as gateway,
        httpx.Client(base_url=gateway.url, trust_env=False, timeout=20) as client,
    ):
        caller = Caller(client)
        caller.reads_usage()
        valkey.process.kill()
        valkey.process.wait()

        for _ in range(5):
            check_unknown(caller.asks_for_usage())


async def test_limits_that_cannot_be_read_are_unknown(office: Office) -> None:
    """The ledger still answers; a local share of the limits would look like the whole truth."""
    with office.caller(office.create_key()) as user:
        usage = user.reads_usage()
        state = open_client(f"unix://{office.data_dir}/valkey/valkey.sock", timeout_s=2, connections=1)
        await state.set(f"ig:1:{{{usage['team']}}}:limits:user:{usage['user']}", "no hash")
        await state.aclose()

        check_unknown(user.asks_for_usage())


@pytest.fixture(scope="module")
def anyone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """A caller of an open gateway."""
    with (
        run_gateway(tmp_path_factory.mktemp("open")) as gateway,
        httpx.Client(base_url=gateway.url, trust_env=False, timeout=20) as client,
    ):
        yield Caller(client)


@pytest.mark.slow
def test_an_open_gateway_shows_the_usage_of_the_named_user(anyone: Caller) -> None:
    anyone.orders(PROMPT, user="hank")

    of_hank, of_iris = anyone.reads_usage(user="hank"), anyone.reads_usage(user="iris")

    assert (len(of_hank["data"]), of_iris["data"]) == (1, [])
    assert of_hank["key"] is None


@pytest.mark.slow
def test_an_open_gateway_opens_its_admin_routes_to_no_one(anyone: Caller) -> None:
    assert anyone.client.get("/admin/keys").status_code == 403
