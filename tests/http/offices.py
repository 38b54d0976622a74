"""Run gateways that need keys, and administer them."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.contract.conformance import HELD
from tests.http.callers import Caller
from tests.processes import Gateway, run_gateway

ADMIN_KEY = "operator-key-of-these-tests"
DECLARED = """
[policies.declared]
images_per_day = 50

[teams.declared]
policy = "declared"
"""


@dataclass(slots=True)
class Office:
    """A running gateway with keys, and a client of its operator."""

    gateway: Gateway
    admin: httpx.Client
    data_dir: Path

    def client(self, key: str) -> httpx.Client:
        headers = {"authorization": f"Bearer {key}"}
        return httpx.Client(
            base_url=self.gateway.url, headers=headers, trust_env=False, timeout=20, event_hooks=HELD
        )

    @contextlib.contextmanager
    def caller(self, created: dict[str, Any]) -> Iterator[Caller]:
        """Open a caller with a key that `create_key` made."""
        with self.client(created["key"]) as client:
            yield Caller(client)

    def create_key(self, **fields: Any) -> dict[str, Any]:
        """Make a key; in a team of its own and for a user of its own unless told."""
        body = {"team": f"team-{uuid4().hex[:8]}", "user": f"user-{uuid4().hex[:8]}", **fields}
        answer = self.admin.post("/admin/keys", json=body)
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()
        return created

    def put_policy(self, **limits: Any) -> str:
        """Make a policy of its own and return its name."""
        name = f"policy-{uuid4().hex[:8]}"
        self.admin.put(f"/admin/policies/{name}", json=limits).raise_for_status()
        return name


@contextlib.contextmanager
def open_office(directory: Path, **settings: object) -> Iterator[Office]:
    """Run a gateway that asks for keys, with its own sandbox and Valkey unless *settings* say otherwise."""
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "gateway.toml"
    config.write_text(DECLARED, "utf-8")
    given = {"auth": "keys", "admin_key": ADMIN_KEY, "sandbox": "true", "config": str(config), **settings}
    with (
        run_gateway(directory, **given) as gateway,
        httpx.Client(
            base_url=gateway.url,
            headers={"authorization": f"Bearer {ADMIN_KEY}"},
            trust_env=False,
            timeout=20,
            event_hooks=HELD,
        ) as admin,
    ):
        yield Office(gateway, admin, directory)
