"""k: an image of 1.5 MB by its link, whole and by a range of 64 kB; and the link that leads to a bucket, which serves it then."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import orjson

from tests.bench.bench import Bench, Service, of_house
from tests.bench.load import GENERATIONS, Order, Orders
from tests.bench.results import GATEWAY
from tests.bench.rounds import Lane, measure_cpu
from tests.bench.scenarios.orders import LARGE_BYTES, LINK, fresh
from tests.bench.stub import picture
from tests.bench.wire import Connection
from tests.s3_server import run_s3

WHOLE, RANGE = "k file of 1.5 MB, whole", "k file of 1.5 MB, 64 kB of it"
LEADING = f"{GATEWAY}, the bucket serves"
_NAME = "image.png"
_RANGE = {"range": "bytes=65536-131071"}


def measure(bench: Bench) -> None:
    """Measure CPU; the peers check no signature."""
    path = asyncio.run(_make_link(bench.gateway))
    with ExitStack() as stack:
        bench.tell("k: a bucket starts")
        bucket = stack.enter_context(run_s3())
        house = bench.open_house(stack, store_redirect_s=60, **bucket.settings("bench"))
        leads = of_house(house, LEADING)
        leading = Lane(leads, _get(asyncio.run(_make_link(leads)), {}))
        measure_cpu(
            WHOLE, [Lane(bench.gateway, _get(path, {})), leading, *_peers(bench, {}, "nginx", "floor")], bench
        )
    measure_cpu(RANGE, [Lane(bench.gateway, _get(path, _RANGE)), *_peers(bench, _RANGE, "nginx")], bench)


def _peers(bench: Bench, headers: dict[str, str], *names: str) -> Iterator[Lane]:
    for service in bench.peers(*names):
        assert service.files
        (service.files / _NAME).write_bytes(picture(LARGE_BYTES))
        yield Lane(service, _get(f"/files/{_NAME}", headers))


def _get(path: str, headers: dict[str, str]) -> Orders:
    order = Order(method="GET", path=path, headers=headers)
    return lambda _: order


async def _make_link(gateway: Service) -> str:
    """Order an image, and return the path of its link."""
    order = fresh(LINK, LARGE_BYTES)(0)
    async with Connection(gateway.target) as connection:
        answer = await connection.ask("POST", GENERATIONS, {"content-type": order.content_type}, order.body)
    url = urlsplit(orjson.loads(answer.content)["data"][0]["url"])
    return f"{url.path}?{url.query}" if url.query else url.path
