"""Estimate orders: `POST /v1/images/estimate` knows the price, the limits and the refusal of an order, and costs nothing."""

import asyncio
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.http.house import EDITS, GENERATIONS, House, check_error, data_url, open_house, png, until
from tests.http.offices import Office, open_office
from tests.http.test_request_lines import line_of
from tests.processes import run_valkey

ESTIMATE = "/v1/images/estimate"
UNPRICED = """
[models."unpriced"]
family = "gpt-image"
released = 2026-11-01
price = false
bridge = { to = "free-of-a-price" }

[models."free-of-a-price"]
family = "gpt-image"
released = 2026-11-01
price = false
"""


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    limits = {"default_policy__requests_per_min": 0, "default_policy__images_per_min": 0}
    with open_office(tmp_path_factory.mktemp("office"), **limits) as opened:
        yield opened


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway that knows models without a price."""
    directory: Path = tmp_path_factory.mktemp("estimates")
    config = directory / "gateway.toml"
    config.write_text(UNPRICED, "utf-8")
    with open_house(directory, config=config) as opened:
        opened.behave(paint="flat")
        yield opened


def estimate(client: httpx.Client, **fields: object) -> dict[str, Any]:
    answer = client.post(ESTIMATE, json=fields)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


@pytest.mark.parametrize("model", ["dall-e-3", "gpt-image-2"])
def test_an_order_costs_no_more_than_its_estimate(house: House, prompt: str, model: str) -> None:
    fields = {"model": model, "prompt": prompt, "n": 2, "size": "1024x1024", "quality": "medium"}
    made = estimate(house.client, **fields)

    answer = house.client.post(GENERATIONS, json=fields)

    cost = int(answer.headers["x-cost-microusd"])
    assert 0 < cost <= made["microusd"] < 2 * cost
    assert (made["object"], made["model"], made["n"], made["weight"]) == ("estimate", model, 2, 2)
    assert made["sent_model"] == answer.headers["x-model-sent"]
    # Its provider is a sandbox, which the gateway cannot know.
    assert made["realm"] == "live"


def test_an_estimate_spends_nothing_and_counts_against_no_limit(office: Office, prompt: str) -> None:
    policy = office.put_policy(requests_per_min=3, images_per_day=5)
    with office.caller(office.create_key(policy=policy)) as user:
        made = [estimate(user.client, prompt=prompt, model="dall-e-3", n=5) for _ in range(20)]
        usage = user.reads_usage()

    assert {each["microusd"] for each in made} == {made[0]["microusd"]}
    assert (usage["data"], [limit["used"] for limit in usage["limits"]]) == ([], [0, 0])
    assert [
        {name: value for name, value in limit.items() if name != "resets_at"} for limit in made[-1]["limits"]
    ] == [{name: value for name, value in limit.items() if name != "resets_at"} for limit in usage["limits"]]
    assert made[0]["realm"] == "sandbox"
    assert "refused_by" not in made[-1]


def test_a_prompt_may_be_missing_and_costs_extra(house: House) -> None:
    fields = {"model": "gpt-image-2", "quality": "low"}
    without, blank, longer = (
        estimate(house.client, **fields, **prompt)["microusd"]
        for prompt in ({}, {"prompt": ""}, {"prompt": "a mill " * 300})
    )

    assert without == blank < longer
    natural = estimate(house.client, model="dall-e-3", style="natural")
    assert natural["microusd"] > estimate(house.client, model="dall-e-3")["microusd"]


def test_images_that_are_sent_cost_extra(house: House) -> None:
    fields = {"model": "gpt-image-2", "operation": "edit", "quality": "low"}
    one, named, four = (
        estimate(house.client, **fields, **inputs)["microusd"]
        for inputs in ({}, {"inputs": 1}, {"inputs": 4})
    )

    assert one == named
    assert four - one == 3 * 6240 * 8
    assert estimate(house.client, operation="vary")["model"] == "dall-e-2"
    assert estimate(house.client)["microusd"] == estimate(house.client, inputs=0)["microusd"] > 0


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "dall-e-4"},
        {"n": 11},
        {"n": "two"},
        {"model": "dall-e-3", "size": "1000x1000"},
        {"model": "dall-e-3", "quality": "best"},
        {"model": "gpt-image-2", "style": "vivid"},
        {"model": "gpt-image-2", "partial_images": 2},
        {"model": "gpt-image-2", "background": "transparent", "output_format": "jpeg"},
        {"model": "dall-e-2", "prompt": "x" * 33_000},
        {"prompt": 7},
        {"response_format": "file"},
        {"seed": 1},
    ],
    ids=lambda fields: next(reversed(fields)),
)
def test_a_fault_has_the_answer_of_the_order(house: House, fields: dict[str, object]) -> None:
    body = {"prompt": "a mill", **fields}

    ordered, estimated = (house.client.post(route, json=body) for route in (GENERATIONS, ESTIMATE))

    assert ordered.status_code == 400
    assert (estimated.status_code, estimated.json()) == (400, ordered.json())


def test_a_fault_of_an_edit_has_the_answer_of_the_order(house: House) -> None:
    fields = {"model": "gpt-image-1.5", "prompt": "a mill", "input_fidelity": "highest"}
    images = [{"image_url": data_url(png())}]

    ordered = house.client.post(EDITS, json={**fields, "images": images})
    estimated = house.client.post(ESTIMATE, json={**fields, "operation": "edit"})

    assert (estimated.status_code, estimated.json()) == (400, ordered.json())


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"operation": "paint"}, "invalid_value", "operation"),
        ({"operation": 1}, "invalid_type", "operation"),
        ({"inputs": 1}, "invalid_value", "inputs"),
        ({"operation": "edit", "inputs": 17}, "integer_above_max_value", "inputs"),
        ({"operation": "edit", "inputs": -1}, "integer_below_min_value", "inputs"),
        ({"operation": "edit", "inputs": "1"}, "invalid_type", "inputs"),
        ({"operation": "edit", "inputs": 0}, "missing_required_parameter", "image"),
        ({"operation": "vary", "inputs": 2}, "array_above_max_length", "image"),
        ({"operation": "vary", "prompt": "a mill"}, "unknown_parameter", "prompt"),
        ({"operation": "edit", "mask": "a file"}, "unknown_parameter", "mask"),
        ({"operation": "vary", "model": "gpt-image-2"}, "invalid_value", "model"),
    ],
)
def test_a_fault_of_its_own_fields_is_refused(
    house: House, fields: dict[str, object], code: str, param: str
) -> None:
    check_error(house.client.post(ESTIMATE, json=fields), 400, code=code, param=param)


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"x" * 300_000, "application/json", 413),
        (b"n=1", "text/plain", 415),
        (b"[]", "application/json", 400),
    ],
)
def test_its_body_is_bounded_json(house: House, content: bytes, kind: str, status: int) -> None:
    answer = house.client.post(ESTIMATE, content=content, headers={"content-type": kind})

    assert answer.status_code == status


def test_an_unknown_price_is_null(house: House) -> None:
    made = estimate(house.client, model="unpriced")

    assert (made["microusd"], made["sent_model"]) == (None, "free-of-a-price")


@pytest.mark.parametrize(
    ("policy", "fields"),
    [
        ({"models": ["gpt-image-2"]}, {}),
        ({"max_n": 1}, {"n": 2}),
        ({"max_size": "1024x1024"}, {"size": "1792x1024"}),
        ({"images_per_day": 1}, {"n": 2}),
        ({"budget_per_month_microusd": 100}, {}),
    ],
    ids=["models", "n", "size", "day", "budget"],
)
def test_the_refusal_of_a_policy_is_that_of_the_order(
    office: Office, policy: dict[str, Any], fields: dict[str, object]
) -> None:
    body = {"model": "dall-e-3", "prompt": "a mill", **fields}
    with office.caller(office.create_key(policy=office.put_policy(**policy))) as user:
        made = estimate(user.client, **body)
        ordered = user.client.post(GENERATIONS, json=body)

    assert ordered.status_code in (400, 403)
    check_same(made["refused_by"], ordered)
    assert made["microusd"] > 0


def check_same(refusal: dict[str, Any], ordered: httpx.Response) -> None:
    """Check that *refusal* is the failure of an order, but for the time that has passed between them."""
    error = {name: ordered.json()["error"][name] for name in ("message", "code", "param")}
    assert timeless(refusal) == timeless(error)


def timeless(error: dict[str, Any]) -> dict[str, Any]:
    return {**error, "message": re.sub(r"in [0-9.]+s\.$", "later.", error["message"])}


@pytest.mark.parametrize(
    ("policy", "n"),
    [
        ({"images_per_day": 3}, 2),
        ({"images_per_min": 3}, 2),
        ({"requests_per_min": 1}, 1),
        ({"budget_per_month_microusd": 150_000}, 2),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else str(value),
)
def test_the_refusal_of_a_used_limit_is_that_of_the_order(
    office: Office, prompt: str, policy: dict[str, Any], n: int
) -> None:
    body = {"model": "dall-e-3", "n": n}
    with office.caller(office.create_key(policy=office.put_policy(**policy))) as user:
        assert "refused_by" not in estimate(user.client, **body)
        user.asks_for(prompt, n=n)
        made = estimate(user.client, **body, prompt=f"{prompt}!")
        ordered = user.client.post(GENERATIONS, json={**body, "prompt": f"{prompt}!"})

    assert ordered.status_code == 429
    check_same(made["refused_by"], ordered)


def test_images_in_flight_refuse_while_they_are_made(tmp_path: Path, prompt: str) -> None:
    with open_house(tmp_path, default_policy__images_in_flight=1) as house:
        house.behave(paint="flat", latency_s=2.0)
        body = {"model": "dall-e-3", "prompt": prompt}
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(house.client.post, GENERATIONS, json=body)
            until(lambda: prompt in house.sandbox.get("/sandbox/journal").text)
            made = estimate(house.client, model="dall-e-3")
            assert running.result().status_code == 200
        assert made["refused_by"]["code"] == "rate_limit_exceeded"
        until(lambda: "refused_by" not in estimate(house.client, model="dall-e-3"))


def test_a_service_estimates_for_the_user_it_names(office: Office, prompt: str) -> None:
    policy = office.put_policy(images_per_day=3)
    team = f"team-{uuid4().hex[:8]}"
    office.admin.put(f"/admin/teams/{team}", json={"user_policy": policy}).raise_for_status()
    with office.caller(office.create_key(role="service", team=team)) as app:
        app.asks_for(prompt, n=2, user="anna")
        anna, ben = (estimate(app.client, model="dall-e-3", n=2, user=name) for name in ("anna", "ben"))

    assert anna["refused_by"]["code"] == "insufficient_quota"
    assert "refused_by" not in ben


def test_its_prompt_is_in_no_log_and_its_line_has_no_order(house: House) -> None:
    secret = f"prompt-{uuid4().hex}"
    answer = house.client.post(ESTIMATE, json={"model": "dall-e-3", "prompt": secret})

    line = line_of(house.gateway, answer.headers["x-request-id"])
    assert (line["route"], line["status"]) == (ESTIMATE, 200)
    assert "order_id" not in line
    assert secret not in house.gateway.log.read_text("utf-8")
    assert house.journal(prompt=secret) == []


def test_all_that_a_model_is_described_with_can_be_ordered(house: House) -> None:
    """No value of a playground's menus is refused."""
    tried = 0
    for name in [each["id"] for each in house.client.get("/v1/models").json()["data"]]:
        details = house.client.get(f"/v1/models/{name}").json()
        for fields in orders_of(details):
            estimate(house.client, model=name, **fields)
            tried += 1
    assert tried > 500


def orders_of(details: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield an order for each operation, size and value of a parameter that a model is described with."""
    needs: dict[str, dict[str, Any]] = {
        "frame_count": {"output_format": "gif"},
        "frame_duration_ms": {"output_format": "gif"},
        "partial_images": {"stream": True},
        "output_compression": {"output_format": "jpeg"},
    }
    yield from ({"operation": operation} for operation in details["operations"])
    sizes = details["sizes"]
    assert sizes["default"] in sizes["fixed"]
    free = [f"{sizes['free']['max_edge']}x{sizes['free']['max_edge'] // 3}"] if "free" in sizes else []
    yield from ({"size": size} for size in [*sizes["fixed"], *free])
    yield {"n": details["max_n"], "prompt": "x" * details["max_prompt_chars"]}
    for name, rule in details["parameters"].items():
        for operation in rule["operations"]:
            values = rule.get("values") or [rule[bound] for bound in ("minimum", "maximum") if bound in rule]
            for value in values:
                yield {"operation": operation, **needs.get(name, {}), name: value}
            if "default" in rule:
                yield {"operation": operation, **needs.get(name, {}), name: rule["default"]}


async def test_estimates_of_one_caller_wait_in_a_line_of_their_own(tmp_path: Path) -> None:
    settings = {"redis_timeout_s": 5, "secrets": "a-long-secret-of-these-tests"}
    answered: asyncio.Queue[int] = asyncio.Queue()
    with run_valkey() as valkey, open_office(tmp_path, redis_url=valkey.url, **settings) as office:
        greedy, modest = (str(office.create_key()["key"]) for _ in range(2))
        async with httpx.AsyncClient(base_url=office.gateway.url, timeout=60, limits=ANY_NUMBER) as client:
            for key in (greedy, modest):
                assert (await ask(client, key)).status_code == 200
            # While Redis hangs, every estimate stays where it is.
            valkey.signal(signal.SIGSTOP)
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(ask(client, greedy, answered)) for _ in range(40)]
                try:
                    refused = [await answered.get() for _ in range(20)]
                    other = group.create_task(ask(client, modest))
                finally:
                    valkey.signal(signal.SIGCONT)

    answers = sorted((each.result() for each in asked), key=lambda answer: answer.status_code)
    assert refused == [429] * 20
    assert [answer.status_code for answer in answers] == [200] * 20 + [429] * 20
    assert other.result().status_code == 200
    check_error(answers[-1], 429, code="rate_limit_exceeded", param=None)
    assert (answers[-1].json()["error"]["type"], answers[-1].headers["retry-after"]) == ("estimates", "1")


ANY_NUMBER = httpx.Limits(max_connections=None)


async def ask(
    client: httpx.AsyncClient, key: str, answered: asyncio.Queue[int] | None = None
) -> httpx.Response:
    """Estimate an order with *key*; the status is put into *answered*, too."""
    headers = {"authorization": f"Bearer {key}"}
    answer = await client.post(ESTIMATE, json={"prompt": "a mill"}, headers=headers)
    if answered is not None:
        answered.put_nowait(answer.status_code)
    return answer
