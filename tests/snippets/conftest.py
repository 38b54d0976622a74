"""A provider whose journal tells what arrived, and gateways in front of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.compatibility.servers import Provider, run_gateway_to, run_provider
from tests.http.offices import open_office
from tests.processes import Gateway
from tests.snippets.code import Code, write_code
from tests.snippets.orders import Order, orders


class House:
    """A gateway that asks for a key, and what its provider gets."""

    def __init__(self, provider: Provider, client: httpx.Client, key: str) -> None:
        self.key = key
        self._provider = provider
        self._client = client
        names = list(orders())
        written = write_code([orders()[name] for name in names], base=str(client.base_url), needs_key=True)
        self._code = dict(zip(names, written, strict=True))
        self._expected: dict[str, list[dict[str, Any]]] = {}

    def code_of(self, name: str) -> Code:
        """Return an order as code."""
        return self._code[name]

    def expected(self, name: str) -> list[dict[str, Any]]:
        """Return what the provider gets for an order by plain HTTP."""
        if name not in self._expected:
            self._expected[name] = self.received(lambda: self._order(orders()[name]))
        return self._expected[name]

    def received(self, act: Any) -> list[dict[str, Any]]:
        """Return what the provider gets during *act*, without what differs from call to call."""
        before = len(self._provider.orders(""))
        act()
        return [_essence(entry) for entry in self._provider.orders("")[before:]]

    def fetch(self, link: str) -> bytes:
        """Return the image behind a link."""
        answer = httpx.get(link, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.content

    def _order(self, order: Order) -> None:
        answer = order.post(self._client)
        assert answer.status_code == 200, answer.text


def _essence(entry: dict[str, Any]) -> dict[str, Any]:
    essence: dict[str, Any] = {name: entry[name] for name in ("path", "model", "prompt")} | entry[
        "parameters"
    ]
    if essence["prompt"].startswith("Paint a variation"):
        # The gateway's own words, others for each variation of an image.
        del essence["prompt"]
    return essence | {"inputs": [(each["field"], each["sha256"]) for each in entry["inputs"]]}


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    """The sandbox behind the gateways here."""
    with run_provider() as running:
        yield running


@pytest.fixture(scope="session")
def house(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway that asks for a key."""
    settings = {"sandbox": "false", "openai_base_url": f"{provider.url}/v1", "openai_api_key": "sk-provider"}
    with open_office(tmp_path_factory.mktemp("house"), **settings) as office:
        # Each call of an order is one of many, within seconds.
        policy = office.put_policy(requests_per_min=0, images_per_min=0)
        office.admin.put("/admin/teams/people", json={"policy": policy}).raise_for_status()
        key = office.create_key(team="people")["key"]
        with office.client(key) as client:
            yield House(provider, client, key)


@pytest.fixture(scope="session")
def open_gateway(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that asks for no key."""
    with run_gateway_to(provider, tmp_path_factory.mktemp("open")) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for code and the files that it reads; its name has a space."""
    return tmp_path / "my code"
