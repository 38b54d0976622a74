"""Servers that many tests share. Started once a session; each test leaves them as it found them."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from service.adapters.redis.client.client import open_client
from tests.authority import Authority
from tests.http.house import House
from tests.http.offices import Office, open_office
from tests.processes import Gateway, Valkey, run_gateway, run_valkey
from tests.s3_server import S3Server, run_s3

pytest_plugins = ["tests.suite"]


@pytest.fixture(scope="session", autouse=True)
def no_public_authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trust one authority of the suite's own: to read those of the world costs each client and process 25 ms of CPU."""
    authority = Authority(tmp_path_factory.mktemp("authority"), "nowhere")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(authority.root))
        yield


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """A real Valkey on a unix socket."""
    with run_valkey() as server:
        yield server


@pytest.fixture
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    """A client as the gateway uses it, on an empty database."""
    client = open_client(valkey.url, timeout_s=1.0, connections=32)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A real S3 server with a bucket in it."""
    with run_s3() as server:
        yield server


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway as `make run` starts it, without limits, with its own sandbox and Valkey."""
    limits = {"default_policy__requests_per_min": 0, "default_policy__images_per_min": 0}
    with run_gateway(tmp_path_factory.mktemp("gateway"), **limits) as running:
        yield running


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A gateway that asks for keys, one a module."""
    with open_office(tmp_path_factory.mktemp("office")) as office:
        yield office


@pytest.fixture
def nothing_stays(house: House) -> Iterator[None]:
    """Hold a test with a `house` of its module to it: no file is left, and nothing crashed."""
    with house.unharmed():
        yield


@pytest.fixture
def prompt() -> str:
    """A prompt no other test has."""
    return f"a lighthouse, number {uuid4().hex}"
