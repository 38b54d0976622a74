"""Back up a gateway that takes orders, lose everything, restore: what was kept counts, what came later is lost.

The backup has a settlement that waited in the journal while its first part was copied and was in Redis when that was
saved, and an order in flight. One scenario, judged by each test.
"""

import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from tests.end_to_end.backups import State, restore, save_redis, save_store, save_waiting
from tests.journals import count_unsettled
from tests.processes import Gateway, Valkey, is_check, run_gateway, run_sandbox, run_valkey

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
OPERATOR = {"authorization": "Bearer operator-key-of-these-tests"}
SECRETS = "a-secret-that-is-kept-elsewhere"
DAY, BUDGET_MICROUSD = 8, 5_000_000
SLOW_S = 3.0
LATER = "after the backup"
PATIENCE_S = 30
IN_FLIGHT = "in flight at the backup"


@dataclass(slots=True)
class Site:
    """A gateway, its Valkey and its provider."""

    gateway: Gateway
    valkey: Valkey
    provider: str

    def call(self, method: str, path: str, *, key: str = "", **request: Any) -> httpx.Response:
        headers = request.pop("headers", {}) | ({"authorization": f"Bearer {key}"} if key else OPERATOR)
        url = f"{self.gateway.url}{path}"
        return httpx.request(method, url, headers=headers, trust_env=False, timeout=60, **request)

    def order(
        self, key: str, prompt: str, *, headers: dict[str, str] | None = None, **fields: object
    ) -> httpx.Response:
        body = {"model": "dall-e-3", "prompt": prompt, **fields}
        return self.call("POST", "/v1/images/generations", key=key, json=body, headers=headers or {})

    def booked(self, key: str) -> dict[str, int]:
        usage = self.call("GET", "/v1/usage", key=key).raise_for_status().json()
        return {one["outcome"]: one["images"] for one in usage["totals"]}

    def used(self, key: str) -> dict[str, int]:
        usage = self.call("GET", "/v1/usage", key=key).raise_for_status().json()
        return {one["name"]: one["used"] for one in usage["limits"] if one["scope"] == "team"}

    def paid(self, *, settle_s: int = 5) -> dict[str, int]:
        """Return the number of images that the provider made of each prompt; 0 while it makes them."""
        url, params = f"{self.provider}/sandbox/journal", {"settle_s": settle_s}
        paid: dict[str, int] = {}
        for entry in httpx.get(url, params=params, trust_env=False).json()["entries"]:
            if not is_check(entry):
                paid[entry["prompt"]] = paid.get(entry["prompt"], 0) + len(entry["images"])
        return paid

    def behave(self, **fields: object) -> None:
        answer = httpx.put(
            f"{self.provider}/sandbox/behaviour", json={"paint": "flat", **fields}, trust_env=False
        )
        answer.raise_for_status()


@dataclass(slots=True)
class Before:
    """What callers had before the loss."""

    keys: dict[str, str] = field(default_factory=dict)
    answers: dict[str, httpx.Response] = field(default_factory=dict)
    booked: dict[str, dict[str, int]] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    paid: dict[str, int] = field(default_factory=dict)
    """At the loss."""


@contextmanager
def run_site(state: State, provider: str) -> Iterator[Site]:
    settings = {
        "auth": "keys",
        "admin_key": OPERATOR["authorization"].removeprefix("Bearer "),
        "secrets": SECRETS,
        "openai_base_url": f"{provider}/v1",
        "openai_api_key": "sk-backup",
        "default_policy__images_per_min": 0,
        "store_url": state.store.as_uri(),
        "redis_timeout_s": 0.5,
    }
    with (
        run_valkey(port=0, directory=state.valkey, config={"appendonly": "yes"}) as valkey,
        run_gateway(state.data, redis_url=valkey.url, **settings) as gateway,
    ):
        yield Site(gateway, valkey, provider)


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Before]]:
    root = tmp_path_factory.mktemp("backup")
    before, backup = Before(), root / "copies"
    with ExitStack() as stack:
        provider = stack.enter_context(run_sandbox())
        state = State.under(root / "first")
        with run_site(state, provider) as site:
            site.behave()
            order_before(site, before)
            make_backup(site, state, backup, before)
            order_after(site, before)
            before.paid = site.paid()
            site.gateway.kill()
        shutil.rmtree(root / "first")
        state = State.under(root / "first")
        restore(state, backup)
        yield stack.enter_context(run_site(state, provider)), before


def order_before(site: Site, before: Before) -> None:
    limits = {"images_per_day": DAY, "budget_per_month_microusd": BUDGET_MICROUSD}
    site.call("PUT", "/admin/policies/small", json=limits).raise_for_status()
    for team, policy in (("shop", "small"), ("lab", None), ("late", None)):
        if policy:
            site.call("PUT", f"/admin/teams/{team}", json={"policy": policy}).raise_for_status()
        before.keys[team] = create_key(site, team)
    # Without Redis, the gateway knows only keys that it has seen.
    site.order(before.keys["lab"], "by a key that is known").raise_for_status()
    shop = before.keys["shop"]
    before.answers["links"] = site.order(shop, "two boats", n=2)
    before.answers["base64"] = site.order(shop, "a boat in the answer", response_format="b64_json")
    before.answers["repeated"] = site.order(shop, "a boat under a key", headers={"idempotency-key": "boat"})


def make_backup(site: Site, state: State, backup: Path, before: Before) -> None:
    """Copy all parts while orders come in."""
    lab, redis = before.keys["lab"], Redis(port=int(site.valkey.url.rpartition(":")[2]))
    site.valkey.signal(signal.SIGSTOP)
    assert site.order(lab, "made without Redis").status_code == 200
    assert count_unsettled(state.data) == 1
    save_waiting(state, backup)
    site.valkey.signal(signal.SIGCONT)
    until(lambda: count_unsettled(state.data) == 0)
    site.behave(latency_s=SLOW_S)
    with in_background(lambda: site.order(before.keys["late"], IN_FLIGHT)):
        until(lambda: IN_FLIGHT in site.paid(settle_s=0))
        before.booked = {team: site.booked(key) for team, key in before.keys.items()}
        before.used = site.used(before.keys["shop"])
        assert before.booked["late"] == {}
        save_redis(state, redis, backup)
        save_store(state, backup)
    site.behave()
    redis.close()


def order_after(site: Site, before: Before) -> None:
    """Do what the backup does not have."""
    before.answers["later"] = site.order(before.keys["shop"], LATER)
    before.keys["new"] = create_key(site, "lab")
    [revoked] = [one["id"] for one in site.call("GET", "/admin/keys").json()["data"] if one["team"] == "late"]
    site.call("DELETE", f"/admin/keys/late/{revoked}").raise_for_status()


def create_key(site: Site, team: str) -> str:
    made = site.call("POST", "/admin/keys", json={"team": team, "user": "ann"}).raise_for_status().json()
    return str(made["key"])


def until(is_so: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.05)


@contextmanager
def in_background(act: Callable[[], object]) -> Iterator[None]:
    thread = threading.Thread(target=act)
    thread.start()
    yield
    thread.join()


def digests(answer: httpx.Response) -> list[str]:
    return re.findall(r"/files/([0-9a-f]{64})\.", answer.raise_for_status().text)


def test_keys_usage_and_what_is_used_of_limits_are_kept(restored: tuple[Site, Before]) -> None:
    site, before = restored

    assert before.used["images_per_day"] == 4
    assert site.used(before.keys["shop"]) == before.used
    assert site.booked(before.keys["shop"]) == before.booked["shop"] == {"made": 4}


def test_links_open_and_equal_orders_are_hits(restored: tuple[Site, Before]) -> None:
    site, before = restored
    shop, answers = before.keys["shop"], before.answers
    links = [one["url"] for one in answers["links"].json()["data"]]
    again = site.order(shop, "two boats", n=2)
    encoded = site.order(shop, "a boat in the answer", response_format="b64_json")

    opened = [site.call("GET", re.sub("^https?://[^/]+", "", link)).status_code for link in links]
    assert (opened, digests(again)) == ([200, 200], digests(answers["links"]))
    assert encoded.json()["data"][0]["b64_json"] == answers["base64"].json()["data"][0]["b64_json"]
    assert [answer.headers["x-cache"] for answer in (again, encoded)] == ["hit", "hit"]


def test_a_repeat_under_its_key_gets_the_answer_of_before(restored: tuple[Site, Before]) -> None:
    site, before = restored
    repeat = site.order(before.keys["shop"], "a boat under a key", headers={"idempotency-key": "boat"})

    assert digests(repeat) == digests(before.answers["repeated"])


def test_a_settlement_in_both_copies_counts_once(restored: tuple[Site, Before]) -> None:
    site, before = restored
    until(lambda: site.booked(before.keys["lab"]) != {"made": 1})

    assert site.booked(before.keys["lab"]) == before.booked["lab"] == {"made": 2}


def test_an_order_in_flight_at_the_backup_counts_as_unknown(restored: tuple[Site, Before]) -> None:
    site, before = restored
    until(lambda: site.booked(before.keys["late"]) != {})

    assert site.booked(before.keys["late"]) == {"unknown": 1}


def test_nothing_that_was_kept_is_paid_for_again(restored: tuple[Site, Before]) -> None:
    site, before = restored
    for prompt, count in (("two boats", 2), ("a boat in the answer", 1), ("a boat under a key", 1)):
        assert site.order(before.keys["shop"], prompt, n=count).status_code == 200
    assert site.order(before.keys["lab"], "made without Redis").status_code == 200

    kept = {prompt: count for prompt, count in site.paid().items() if prompt != LATER}
    assert kept == {prompt: count for prompt, count in before.paid.items() if prompt != LATER}


def test_what_came_after_the_backup_is_lost(restored: tuple[Site, Before]) -> None:
    site, before = restored
    assert digests(before.answers["later"])
    again = site.order(before.keys["shop"], LATER)

    assert (again.headers["x-cache"], site.paid()[LATER]) == ("miss", 2)
    assert site.order(before.keys["new"], "by a new key").status_code == 401
    assert site.call("GET", "/v1/usage", key=before.keys["late"]).status_code == 200, (
        "revoked after the backup"
    )
