"""Share fixtures of the HTTP tests: a provider with a journal, gateways in front of it, clients."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.domain.callers import Role
from tests.contract.conformance import HELD
from tests.http.callers import Caller, People
from tests.http.tenants import ADMIN_KEY, Tenants, open_tenants
from tests.processes import Gateway, is_check, read_json_lines, run_gateway, run_sandbox


class SandboxJournal:
    """What reached the sandbox at *url*, as it wrote it down."""

    def __init__(self, url: str, path: Path) -> None:
        self.url = url
        self._path = path

    def entries(self) -> list[dict[str, Any]]:
        return [entry for entry in read_json_lines(self._path) if not is_check(entry)]

    def of(self, prompt: str) -> list[dict[str, Any]]:
        """Return the calls whose prompt begins with *prompt*."""
        return [entry for entry in self.entries() if (entry["prompt"] or "").startswith(prompt)]


@pytest.fixture(scope="session")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxJournal]:
    """A sandbox, by its journal."""
    path = tmp_path_factory.mktemp("sandbox") / "journal.jsonl"
    with run_sandbox("--journal-file", str(path)) as url:
        yield SandboxJournal(url, path)


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory, journal: SandboxJournal) -> Iterator[Gateway]:
    """A gateway without limits whose provider is that sandbox."""
    limits = {"default_policy__requests_per_min": 0, "default_policy__images_per_min": 0}
    provider = {"openai_base_url": f"{journal.url}/v1", "openai_api_key": "sk-ours"}
    with run_gateway(tmp_path_factory.mktemp("edge"), **limits, **provider) as running:
        yield running


@pytest.fixture(scope="session")
def client(gateway: Gateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.url, trust_env=False, timeout=20, event_hooks=HELD) as client:
        yield client


@contextmanager
def no_attempts(client: httpx.Client) -> Iterator[None]:
    """Hold the block to it: no call was tried."""
    before = attempts(client)
    yield
    assert attempts(client) == before


@pytest.fixture(scope="module")
def nothing_tried(client: httpx.Client) -> Iterator[None]:
    """Hold a whole module to it: no call was tried. Reading the metrics takes longer than one of its tests."""
    with no_attempts(client):
        yield


@pytest.fixture
def nothing_spent(nothing_sent: None, client: httpx.Client) -> Iterator[None]:
    """Hold a test to it: no call reached the sandbox, none was tried, nothing crashed."""
    with no_attempts(client):
        yield


@pytest.fixture
def nothing_sent(gateway: Gateway, journal: SandboxJournal) -> Iterator[None]:
    """Hold a test to it: no call reached the sandbox, nothing crashed."""
    log_bytes = gateway.log.stat().st_size
    before = len(journal.entries())

    yield

    assert len(journal.entries()) == before
    written = gateway.log.read_bytes()[log_bytes:].decode()
    assert "traceback" not in written.lower()
    assert '"level":"error"' not in written


def attempts(client: httpx.Client) -> float:
    """Return how many attempts at any backend the gateway has counted."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if sample.name == "imagegw_upstream_attempts_total"
    )


@pytest.fixture(scope="session")
def limited(tmp_path_factory: pytest.TempPathFactory, journal: SandboxJournal) -> Iterator[Gateway]:
    """A gateway with a small limit for each user, and links that expire."""
    limits = {"default_policy__requests_per_min": 5, "default_policy__images_per_min": 2}
    provider = {"openai_base_url": f"{journal.url}/v1", "openai_api_key": "sk-ours"}
    with run_gateway(tmp_path_factory.mktemp("limited"), url_ttl_s=3600, **limits, **provider) as running:
        yield running


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    """A gateway that asks for keys, one a module."""
    with open_tenants(tmp_path_factory.mktemp("tenants")) as tenants:
        yield tenants


@pytest.fixture(scope="module")
def people(tenants: Tenants) -> Iterator[People]:
    """Callers of that gateway."""
    clients = {
        "anna": tenants.client("shop", "anna"),
        "ben": tenants.client("shop", "ben"),
        "service": tenants.client("shop", "web", Role.SERVICE),
        "anna_of_the_lab": tenants.client("lab", "anna"),
        "admin": tenants.client("staff", "root", Role.ADMIN),
        "operator": tenants.client_of(ADMIN_KEY),
    }
    with ExitStack() as stack:
        yield People(**{name: Caller(stack.enter_context(client)) for name, client in clients.items()})


@pytest.fixture
def anna(people: People) -> Caller:
    """A user of the shop."""
    return people.anna


@pytest.fixture
def ben(people: People) -> Caller:
    """Another user of the shop."""
    return people.ben


@pytest.fixture
def operator(people: People) -> Caller:
    """The holder of the admin key."""
    return people.operator


@pytest.fixture
def flat_images(tenants: Tenants) -> None:
    """Let the provider paint plain images, which is quick."""
    tenants.house.behave(paint="flat")
