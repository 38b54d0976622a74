"""Run a gateway that needs keys, with teams and users whose keys are written into its Valkey."""

import asyncio
import contextlib
import secrets
import signal
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import httpx
from redis.asyncio import Redis

from service.adapters.identity.secrets import derive_key
from service.adapters.redis.accounts import RedisCallers
from service.adapters.redis.client.client import open_client
from service.domain.callers import TOKEN_PREFIX, ApiKey, Role, hint_of
from service.domain.fingerprint import keyed_hash
from service.ports.audit import AuditEntry
from tests.contract.conformance import HELD
from tests.http.house import GENERATIONS, House, open_house, until
from tests.processes import Valkey, run_valkey

SECRET = "the-secret-of-these-tests"
ADMIN_KEY = "operator-key-of-these-tests"

Answer = TypeVar("Answer")


@dataclass(slots=True)
class Tenants:
    """A house whose gateway asks for keys, and its Valkey."""

    house: House
    valkey: Valkey

    def client(self, team: str, user: str, role: Role = Role.USER) -> httpx.Client:
        """Return a client with a new key; the caller closes it."""
        return self.client_of(self.add_key(team, user, role))

    def client_of(self, token: str) -> httpx.Client:
        headers = {"authorization": f"Bearer {token}"}
        return httpx.Client(
            base_url=self.house.gateway.url, headers=headers, trust_env=False, timeout=60, event_hooks=HELD
        )

    def add_key(self, team: str, user: str, role: Role = Role.USER) -> str:
        token = f"{TOKEN_PREFIX}{secrets.token_urlsafe(32)}"
        key = ApiKey(
            id=f"key_{uuid4().hex[:16]}", team=team, user=user, role=role, hint=hint_of(token), created_s=1
        )
        token_hash = keyed_hash(derive_key(SECRET, "token"), token)
        self.ask(lambda redis: RedisCallers(redis, timeout_s=5).add_key(key, token_hash))
        return token

    def ask(self, question: Callable[[Redis], Awaitable[Answer]]) -> Answer:
        """Return what *question* returns, asked of the gateway's Valkey."""

        async def work() -> Answer:
            client = open_client(self.valkey.url, timeout_s=5, connections=1)
            try:
                return await question(client)
            finally:
                await client.aclose()

        return asyncio.run(work())

    def read_audit(self, count: int) -> list[AuditEntry]:
        """Return the latest *count* entries of the audit, newest first."""
        return self.ask(lambda redis: RedisCallers(redis, timeout_s=5).read_audit(count))

    @contextlib.contextmanager
    def redis_away(self) -> Iterator[None]:
        """Stop Valkey from answering, until the gateway may read from it again."""
        self.valkey.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.valkey.signal(signal.SIGCONT)
        with self.client_of(ADMIN_KEY) as operator:
            until(lambda: operator.get("/v1/usage").status_code == 200)


@contextlib.contextmanager
def open_tenants(directory: Path, **settings: object) -> Iterator[Tenants]:
    """Run a Valkey, a sandbox and a gateway that asks for keys."""
    with run_valkey() as valkey:
        given = {
            "auth": "keys",
            "admin_key": ADMIN_KEY,
            "secrets": SECRET,
            "redis_url": valkey.url,
            **settings,
        }
        with open_house(directory, **given) as house:
            yield Tenants(house, valkey)


def order(client: httpx.Client, prompt: str, **fields: object) -> httpx.URL:
    """Order one image and return its link."""
    body = {"model": "dall-e-3", "prompt": prompt, "response_format": "url", **fields}
    answer = client.post(GENERATIONS, json=body)
    assert answer.status_code == 200, answer.text
    return httpx.URL(answer.json()["data"][0]["url"])


def follow(link: httpx.URL, method: str = "GET") -> httpx.Response:
    """Follow a link without credentials."""
    return httpx.request(method, link, trust_env=False)
