"""Follow the link of an image of several pieces, by clients that stay and clients that leave."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.adapters.storage.stored import name_of
from tests.bench.servers import run_process
from tests.http.house import until
from tests.http.tenants import order
from tests.http.wire import Connection, get
from tests.processes import Gateway, run_gateway


@pytest.fixture(params=[1_500_000, 6_000_000], ids=["without-a-watch", "watched"])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway whose provider makes images of this size."""
    with (
        run_process("tests.bench.stub", str(request.param)) as provider,
        run_gateway(tmp_path, openai_base_url=f"{provider.url}/v1", openai_api_key="sk-ours") as gateway,
    ):
        yield gateway


def test_clients_that_leave_in_the_middle_of_a_file_harm_nothing(gateway: Gateway) -> None:
    with httpx.Client(base_url=gateway.url, trust_env=False, timeout=20) as client:
        link = order(client, "large")
        whole = client.get(link).content
        assert link.path.endswith("/" + name_of(whole))
        names = {f"left-{number}-{uuid4().hex}" for number in range(12)}

        for name in names:
            with Connection(gateway.url) as connection:
                connection.send(get(link.raw_path.decode("ascii"), f"X-Request-Id: {name}"))
                assert connection.wait_quietly(20).startswith(b"HTTP/1.1 200")

        until(lambda: names <= {line["request_id"] for line in gateway.log_lines("request")})
        assert client.get(link).content == whole
        assert b'"level":"error"' not in gateway.log.read_bytes()
