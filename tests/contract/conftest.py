"""Share a gateway that asks for keys, and its provider."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.http.house import House, open_house

ADMIN_KEY = "an-admin-key-of-the-contract"


@dataclass(frozen=True, slots=True)
class Site:
    """A gateway; *client* sends the admin key."""

    house: House
    client: httpx.Client

    def client_of(self, key: str) -> httpx.Client:
        headers = {"authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.house.gateway.url, headers=headers, trust_env=False, timeout=60)

    def create_key(self, team: str, **policy: object) -> str:
        """Return a user's key in a team; with *policy*, the key has that policy."""
        body = {"team": team, "user": "anna"}
        if policy:
            self.client.put(f"/admin/policies/{team}", json=policy).raise_for_status()
            body["policy"] = team
        answer = self.client.post("/admin/keys", json=body).raise_for_status()
        return str(answer.json()["key"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    settings = {"auth": "keys", "admin_key": ADMIN_KEY}
    with open_house(tmp_path_factory.mktemp("contract"), **settings) as house:
        house.client.headers["authorization"] = f"Bearer {ADMIN_KEY}"
        yield Site(house, house.client)
