"""Operators see which keys of several backends do not work, while callers notice nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.contract.conformance import HELD
from tests.http.house import GENERATIONS, until
from tests.processes import Gateway, run_gateway, run_sandbox, run_valkey

CONFIG = """
[[backends]]
name = "openai"
url = "{one}/v1"
keys = [{{ name = "main", key = "sk-main" }}, {{ name = "spare", key = "sk-spare", priority = 2 }}]

[[backends]]
name = "other"
priority = 3
url = "{other}/v1"
keys = [{{ key = "sk-other" }}]
"""
pytestmark = pytest.mark.slow
MODEL = "gpt-image-2"
SETTINGS = {"secrets": "a-secret-all-replicas-share", "replicas": 2, "log_level": "DEBUG"}
KEYS = {"main", "spare", "other"}


@dataclass(slots=True)
class Fleet:
    """A gateway with three keys of two backends."""

    gateway: Gateway
    client: httpx.Client
    sandboxes: tuple[str, str]
    redis_url: str

    def order(self, prompt: str) -> httpx.Response:
        return self.client.post(GENERATIONS, json={"model": MODEL, "prompt": prompt, "quality": "low"})

    def behave(self, key: str, **fields: object) -> None:
        """Replace the behaviour of both backends towards a key."""
        for url in self.sandboxes:
            place = f"{url}/sandbox/behaviour?key=sk-{key}"
            httpx.put(place, json=fields, trust_env=False).raise_for_status()

    def rows(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get("/readyz?verbose").json()
        return found

    def words(self) -> dict[str, str]:
        """Return the condition of each key."""
        return {name: key["condition"] for name, key in self.rows()["details"]["provider"]["keys"].items()}

    def samples(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Return the series of a metric above zero by the values of *labels*."""
        return {
            tuple([sample.labels[label] for label in labels]): sample.value
            for family in text_string_to_metric_families(self.client.get("/metrics").text)
            for sample in family.samples
            if sample.name == name and sample.value > 0
        }

    def resting(self) -> set[tuple[str, ...]]:
        return set(self.samples("imagegw_backend_key_resting", "backend", "key", "model", "reason"))


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    config = tmp_path / "gateway.toml"
    with run_sandbox() as one, run_sandbox() as other, run_valkey(port=0) as valkey:
        config.write_text(CONFIG.format(one=one, other=other), "utf-8")
        with (
            run_gateway(tmp_path, config=config, redis_url=valkey.url, **SETTINGS) as gateway,
            httpx.Client(base_url=gateway.url, trust_env=False, timeout=60, event_hooks=HELD) as client,
        ):
            fleet = Fleet(gateway, client, (one, other), valkey.url)
            until(lambda: set(fleet.words().values()) == {"ok"})
            yield fleet


def test_a_revoked_key_is_named_while_others_make_its_images(fleet: Fleet) -> None:
    fleet.behave("main", account="revoked")

    answers = [fleet.order(f"a boat {number}") for number in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
    row = fleet.rows()
    assert row["provider"] == "ok"
    assert row["details"]["provider"]["advice"].startswith("openai/main: key main of backend openai")
    assert fleet.words() == {"openai/main": "refused", "openai/spare": "ok", "other/key-1": "ok"}
    assert fleet.resting() == {("openai", "main", "", "refused")}
    assert fleet.samples("imagegw_backend_key_rests_total", "key", "reason") == {("main", "refused"): 1}
    assert fleet.samples("imagegw_calls_crossed_total", "backend", "to") == {("openai", "openai"): 1}
    attempts = fleet.samples("imagegw_backend_key_attempts_total", "key", "outcome")
    assert attempts == {("main", "misconfigured"): 1, ("spare", "made"): 3}
    assert not fleet.samples("imagegw_degraded_seconds_total", "part")
    [rests] = fleet.gateway.log_lines("backend key rests")
    assert (rests["level"], rests["backend"], rests["key"], rests["reason"], rests["status"]) == (
        *("warning", "openai", "main", "refused"),
        401,
    )
    assert "model" not in rests
    [failed] = fleet.gateway.log_lines("provider failed")
    assert failed["key"] == "main"
    [crossed] = fleet.gateway.log_lines("call crossed")
    assert (crossed["key"], crossed["to"]) == ("main", "openai/spare")


def test_a_provider_without_a_key_that_works_is_refused_until_one_is_mended(fleet: Fleet) -> None:
    for key in ("spare", "other"):
        fleet.behave(key, account="blocked")
    fleet.behave("main", account="revoked")

    failed = [fleet.order(f"a boat {number}") for number in range(3)]
    refused = fleet.rows()
    fleet.behave("main")
    until(lambda: fleet.order("another boat").status_code == 200)

    assert {answer.status_code for answer in failed} == {502}
    assert refused["provider"] == "refused"
    assert [
        f"{name}:" in refused["details"]["provider"]["advice"]
        for name in refused["details"]["provider"]["keys"]
    ] == ([True] * 3)
    assert fleet.rows()["provider"] == "ok"
    assert fleet.words()["openai/main"] == "ok"
    assert {key for _, key, _, _ in fleet.resting()} == {"spare", "key-1"}
    [back] = fleet.gateway.log_lines("backend key works again")
    assert (back["backend"], back["key"], back["reason"]) == ("openai", "main", "refused")


def test_a_throttled_key_rests_for_its_model_and_is_no_failure(fleet: Fleet) -> None:
    fleet.behave("main", throttle={"for_s": 600})

    answers = [fleet.order(f"a boat {number}") for number in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
    row = fleet.rows()
    [made_with] = {model for _, _, model, _ in fleet.resting()}
    assert row["provider"] == "ok"
    assert (
        f"openai/main: It gets no calls of {made_with} (throttled, another"
        in row["details"]["provider"]["advice"]
    )
    assert fleet.words()["openai/main"] == "resting"
    assert fleet.samples("imagegw_backend_key_rests_total", "key", "reason") == {("main", "throttled"): 1}


def test_no_secret_of_a_key_is_shown(fleet: Fleet) -> None:
    for key in KEYS:
        fleet.behave(key, account="revoked")
    fleet.order("a boat")

    shown = [fleet.client.get(path).text for path in ("/readyz?verbose", "/metrics")]

    assert fleet.gateway.log_lines("backend key rests")
    assert not [text for text in (*shown, fleet.gateway.log.read_text("utf-8")) if "sk-" in text]


def test_a_gateway_shows_the_rest_that_another_one_began(fleet: Fleet, tmp_path: Path) -> None:
    settings = {"config": tmp_path / "gateway.toml", "redis_url": fleet.redis_url, **SETTINGS}
    with (
        run_gateway(tmp_path / "idle", **settings) as gateway,
        httpx.Client(base_url=gateway.url, trust_env=False, timeout=60, event_hooks=HELD) as client,
    ):
        idle = Fleet(gateway, client, fleet.sandboxes, fleet.redis_url)
        until(lambda: set(idle.words().values()) == {"ok"})

        fleet.behave("main", account="revoked")
        fleet.order("a boat").raise_for_status()

        until(lambda: idle.words()["openai/main"] == "refused")
        assert idle.resting() == {("openai", "main", "", "refused")}
        assert not idle.samples("imagegw_backend_key_rests_total", "key")
        assert not gateway.log_lines("backend key rests")
        assert idle.rows()["details"]["provider"]["advice"].startswith(
            "openai/main: Calls of another gateway"
        )
