"""Keys and tokens from end to end, at DEBUG: who is let in, and that no credential is left lying anywhere."""

import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from service.adapters.redis.client.client import open_client
from tests.adapters.redis.orders import snapshot
from tests.end_to_end.test_secrets_stay_secret import dump
from tests.issuer import rsa_key, run_key_server
from tests.processes import Gateway, Valkey, run_gateway, run_valkey

ADMIN_KEY = f"admin-{uuid4().hex}"
METRICS_KEY = f"metrics-{uuid4().hex}"
SUBJECT = f"subject-{uuid4().hex}@example.com"
ISSUER = "https://id.example.com"
IDEMPOTENCY_KEY = f"once-{uuid4().hex}"
GENERATIONS = "/v1/images/generations"


@dataclass(slots=True)
class Stage:
    """A gateway that asks for credentials, and every secret that was shown to it."""

    gateway: Gateway
    valkey: Valkey
    client: httpx.AsyncClient
    data_dir: Path
    secrets: dict[str, str] = field(default_factory=dict)
    answers: list[httpx.Response] = field(default_factory=list)

    async def send(self, method: str, path: str, token: str, **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}", **options.pop("headers", {})}
        answer = await self.client.request(method, path, headers=headers, **options)
        self.answers.append(answer)
        return answer

    async def order(self, token: str, **fields: object) -> httpx.Response:
        body = {"model": "dall-e-3", "prompt": "a boat", **fields}
        return await self.send("POST", GENERATIONS, token, json=body)


def claims(**changes: Any) -> dict[str, Any]:
    given = {"iss": ISSUER, "aud": "images", "sub": SUBJECT, "team": "studio", "exp": int(time.time()) + 600}  # noqa: TID251 - the issuer's own clock
    return {**given, **changes}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stage]:
    data_dir = tmp_path_factory.mktemp("credentials")
    config = data_dir / "config.toml"
    config.write_text(
        '[policies.small]\nmodels = ["dall-e-3"]\nmax_n = 2\n[teams.studio]\nuser_policy = "small"\n', "utf-8"
    )
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(run_key_server(rsa_key()))
        valkey = stack.enter_context(run_valkey())
        settings = {
            "auth": "keys,jwt",
            "admin_key": ADMIN_KEY,
            "metrics_key": METRICS_KEY,
            "jwt__issuer": ISSUER,
            "jwt__audience": "other,images",
            "jwt__jwks": server.url,
            "config": config,
            "secrets": f"secret-{uuid4().hex}",
            "redis_url": valkey.url,
            "log_level": "DEBUG",
            "sandbox": "true",
        }
        gateway = stack.enter_context(run_gateway(data_dir, **settings))
        client = httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=30)
        await stack.enter_async_context(client)
        stage = Stage(gateway, valkey, client, data_dir)
        stage.secrets = {"the admin key": ADMIN_KEY, "the metrics key": METRICS_KEY, "the subject": SUBJECT}
        stage.secrets["the idempotency key"] = IDEMPOTENCY_KEY
        yield stage


@pytest.mark.asyncio(loop_scope="module")
async def test_a_token_of_the_identity_provider_orders_as_its_policy_says(stage: Stage) -> None:
    token = stage.secrets["a token"] = rsa_key().token(claims())

    good = await stage.order(token, n=2)
    too_many = await stage.order(token, n=3)
    other_model = await stage.order(token, model="gpt-image-2")

    assert good.status_code == 200
    assert (too_many.status_code, too_many.json()["error"]["param"]) == (400, "n")
    assert other_model.status_code == 403
    assert other_model.json()["error"]["code"] == "model_not_found"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "changes", [{"exp": 1}, {"aud": "others"}, {"iss": "https://evil.example.com"}, {"team": "open"}]
)
async def test_a_token_for_another_audience_is_refused(stage: Stage, changes: dict[str, Any]) -> None:
    answer = await stage.order(rsa_key().token(claims(**changes)))

    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_revoked_key_orders_nothing_any_more_and_a_service_names_its_users(stage: Stage) -> None:
    made = await stage.send(
        "POST", "/admin/keys", ADMIN_KEY, json={"team": "shop", "user": "checkout", "role": "service"}
    )
    assert made.status_code == 201
    stage.answers.pop()  # the one answer that may show it
    token, key_id = made.json()["key"], made.json()["id"]
    stage.secrets["a key"] = token

    headers = {"idempotency-key": IDEMPOTENCY_KEY}
    body = {"model": "dall-e-3", "prompt": "a ship", "user": SUBJECT}
    before = await stage.send("POST", GENERATIONS, token, json=body, headers=headers)
    await stage.send("DELETE", f"/admin/keys/shop/{key_id}", ADMIN_KEY)
    after = await stage.order(token)

    assert before.status_code == 200
    assert after.status_code == 401


@pytest.mark.asyncio(loop_scope="module")
async def test_no_credential_is_stored_or_logged(stage: Stage) -> None:
    assert set(stage.secrets) >= {"a token", "a key"}
    await stage.send("GET", "/v1/usage", stage.secrets["a token"])
    await stage.send("GET", "/admin/usage", ADMIN_KEY)
    await stage.send("GET", "/admin/audit", ADMIN_KEY)
    await stage.send("GET", "/admin/keys", ADMIN_KEY, params={"team": "shop"})
    metrics = await stage.send("GET", "/metrics", METRICS_KEY)
    assert metrics.status_code == 200
    redis = open_client(stage.valkey.url, timeout_s=1.0, connections=2)
    places = {name: name + await dump(redis, name) for name in await snapshot(redis)}
    await redis.aclose()
    places |= {
        str(path): path.read_text("utf-8", errors="replace")
        for path in stage.data_dir.rglob("*")
        if path.is_file() and path.suffix not in (".toml", ".png")
    }
    places |= {
        f"{answer.request.method} {answer.request.url}": f"{answer.text}{answer.headers}"
        for answer in stage.answers
    }

    for what, secret in stage.secrets.items():
        found = [place for place, text in places.items() if secret in text or secret[:-6] in text]
        assert found == [], what
