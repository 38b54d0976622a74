"""Canaries: what must stay secret is sent through everything that can go wrong, and then looked for everywhere.

At DEBUG, with a provider that fails in every way, and with Redis read key by key.
"""

import base64
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from service.adapters.redis.client.client import open_client
from tests.http.house import data_url, png
from tests.processes import Gateway, Valkey, run_gateway, run_valkey
from tests.sandbox.process import SandboxHandle, run_sandbox

CALLER_KEY = f"sk-caller-{uuid4().hex}"
PROVIDER_KEY = f"sk-provider-{uuid4().hex}"
PROMPT = f"prompt-{uuid4().hex}"
USER = f"user-{uuid4().hex}@example.com"
GATEWAY_SECRET = f"secret-{uuid4().hex}"
CANARIES = {
    "the caller's key": CALLER_KEY,
    "the provider's key": PROVIDER_KEY,
    "the prompt": PROMPT,
    "the user": USER,
    "the gateway's secret": GATEWAY_SECRET,
}
FAILURES: tuple[Mapping[str, Any], ...] = (
    {"status": 500},
    {"status": 429, "retry_after_s": 0.01, "count": 3},
    {"status": 401, "code": "invalid_api_key", "message": f"Incorrect API key provided: {PROVIDER_KEY}."},
    {"status": 429, "code": "insufficient_quota"},
    {"status": 200, "body": "truncated_json", "after_painting": True},
    {"status": 502, "body": "html"},
    {"status": 418, "message": f"The key {PROVIDER_KEY} is a teapot."},
)
FAULTS: tuple[Mapping[str, Any], ...] = (
    {"mode": "reset_after_request", "times": 1},
    {"mode": "truncate", "after_bytes": 100, "times": 1},
    {"mode": "refuse_connections"},
)
MISTAKES: tuple[dict[str, object], ...] = (
    {"n": 0},
    {"size": PROMPT},
    {"model": USER},
    {PROMPT: 1},
    {"user": [USER]},
    {"quality": USER},
)


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that took part, after the orders."""

    gateway: Gateway
    valkey: Valkey
    answers: list[httpx.Response]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stage]:
    """Run every order once; the tests then only look."""
    settings = {
        "log_level": "DEBUG",
        "secrets": GATEWAY_SECRET,
        "openai_api_key": PROVIDER_KEY,
        "default_policy__requests_per_min": 1000,
        "default_policy__images_per_min": 100,
    }
    async with run_sandbox(fault_proxy=True) as sandbox:
        with contextlib.ExitStack() as stack:
            valkey = stack.enter_context(run_valkey())
            gateway = stack.enter_context(
                run_gateway(
                    tmp_path_factory.mktemp("canaries"),
                    redis_url=valkey.url,
                    openai_base_url=f"{sandbox.fault_url}/v1",
                    **settings,
                )
            )
            yield Stage(gateway, valkey, await order_everything(gateway, sandbox))


async def order_everything(gateway: Gateway, sandbox: SandboxHandle) -> list[httpx.Response]:
    headers = {"authorization": f"Bearer {CALLER_KEY}"}
    async with httpx.AsyncClient(
        base_url=gateway.url, headers=headers, trust_env=False, timeout=30
    ) as client:
        answers = [await order(client)]
        for number, failure in enumerate(FAILURES):
            await sandbox.behave(failures=[failure], paint="flat")
            answers.append(await order(client, suffix=f"failure {number}"))
        await sandbox.behave(paint="flat")
        for number, fault in enumerate(FAULTS):
            fields = dict(fault)
            await sandbox.fault(fields.pop("mode"), **fields)
            answers.append(await order(client, suffix=f"fault {number}", timeout_s="2"))
        await sandbox.fault("pass_through")
        answers.extend([await order(client, mistake=mistake) for mistake in MISTAKES])
        answers.append(await order(client, suffix="forbidden-word"))
        answers.append(await order(client, suffix="x" * 40_000))
        answers.append(await client.post("/v1/images/generations", content=f"{PROMPT}{USER}"))
        answers.append(await client.get(f"/{PROMPT}?user={USER}"))
        answers.append(await client.get(f"/v1/images/files/{PROMPT}?sig={USER}"))
        answers.append(await client.get("/livez", headers={"x-request-id": f"{USER} {CALLER_KEY}"}))
        edit = {
            "model": "gpt-image-2",
            "prompt": f"{PROMPT} edit",
            "images": [{"image_url": data_url(png())}],
        }
        answers.append(await client.post("/v1/images/edits", json={**edit, "user": USER}))
        return answers


async def order(
    client: httpx.AsyncClient,
    *,
    suffix: str = "",
    timeout_s: str = "10",
    mistake: Mapping[str, object] | None = None,
) -> httpx.Response:
    fields = {
        "model": "dall-e-3",
        "prompt": f"{PROMPT} {suffix}",
        "user": USER,
        "style": "natural",
        **(mistake or {}),
    }
    return await client.post(
        "/v1/images/generations", json=fields, headers={"x-request-timeout-s": timeout_s, "user-agent": USER}
    )


def forms(secret: str) -> set[str]:
    """Return *secret* as it could be written by somebody who forgot: plain, hashed without a key, encoded."""
    data = secret.encode()
    return {
        secret,
        base64.b64encode(data).decode().rstrip("="),
        hashlib.sha256(data).hexdigest()[:16],
        hashlib.sha1(data, usedforsecurity=False).hexdigest()[:16],
        hashlib.md5(data, usedforsecurity=False).hexdigest()[:16],
    }


def check_secret(text: str, where: str, *names: str) -> None:
    for name in names or CANARIES:
        for form in forms(CANARIES[name]):
            assert form not in text, f"{name} is in {where}"


@pytest.mark.asyncio(loop_scope="module")
async def test_the_orders_went_through_everything(stage: Stage) -> None:
    """Else the other tests prove nothing."""
    statuses = {answer.status_code for answer in stage.answers}

    assert statuses >= {200, 400, 404, 502}
    assert '"event":"request"' in stage.gateway.log.read_text("utf-8")
    codes = {answer.json()["error"]["code"] for answer in stage.answers if answer.is_error}
    assert codes >= {
        "backend_misconfigured",
        "upstream_invalid_response",
        "unknown_parameter",
        "invalid_size",
    }


@pytest.mark.asyncio(loop_scope="module")
async def test_the_log_has_no_secret(stage: Stage) -> None:
    check_secret(stage.gateway.log.read_text("utf-8"), "the log")


@pytest.mark.asyncio(loop_scope="module")
async def test_the_metrics_have_no_secret(stage: Stage) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        metrics = await client.get(f"{stage.gateway.url}/metrics")

    check_secret(metrics.text, "the metrics")


@pytest.mark.asyncio(loop_scope="module")
async def test_errors_and_headers_contain_no_keys(stage: Stage) -> None:
    ours = ("the provider's key", "the gateway's secret")
    for answer in stage.answers:
        check_secret(answer.text, "a body", *ours)
        check_secret(str(answer.headers), "a header", *ours, "the caller's key", "the prompt")


@pytest.mark.asyncio(loop_scope="module")
async def test_errors_do_not_repeat_a_prompt(stage: Stage) -> None:
    """A value of a closed list may be quoted back to who sent it; the prompt itself never is."""
    for answer in stage.answers:
        asked = answer.request.content
        quotes = answer.is_success or b'"prompt"' not in asked or asked.count(PROMPT.encode()) > 1
        if not quotes:
            assert PROMPT not in answer.text, answer.text


@pytest.mark.asyncio(loop_scope="module")
async def test_redis_has_no_secret_but_those_of_a_hit(stage: Stage) -> None:
    redis = open_client(stage.valkey.url, timeout_s=1.0, connections=2)
    try:
        names = [to_text(name) for name in await redis.keys("*")]
        kinds = {name: await dump(redis, name) for name in names}
    finally:
        await redis.aclose()

    assert any(":limits:" in name for name in names)
    assert any(":ledger:" in name for name in names)
    assert any(":pool:" in name for name in names)
    check_secret(" ".join(names), "a name in Redis")
    for name, text in kinds.items():
        check_secret(text, name)


def to_text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


async def dump(redis: Redis, name: str) -> str:
    """Return everything a key holds, as text."""
    match to_text(await redis.type(name)):
        case "string":
            return str(await redis.get(name))
        case "stream":
            return str(await redis.xrange(name))
        case "hash":
            return str(await redis.hgetall(name))
        case "zset":
            return str(await redis.zrange(name, 0, -1, withscores=True))
        case "set":
            return str(await redis.smembers(name))
        case "list":
            return str(await redis.lrange(name, 0, -1))
        case other:
            raise AssertionError(f"{name} is a {other}")


@pytest.mark.asyncio(loop_scope="module")
async def test_the_data_directory_has_no_secret_but_its_own(stage: Stage) -> None:
    directory = stage.gateway.log.parent
    for path in directory.rglob("*"):
        if path.is_file() and "images" not in path.parts:
            check_secret(path.read_text("utf-8", errors="replace"), path.name)
