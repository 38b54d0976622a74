"""k: an image of 1.5 MB by its link, whole and by a range of 64 kB."""

import asyncio
from urllib.parse import urlsplit

import orjson

from tests.bench.bench import Bench, Service
from tests.bench.load import GENERATIONS, Order, Orders
from tests.bench.rounds import Lane, measure_cpu
from tests.bench.scenarios.orders import LARGE_BYTES, LINK, fresh
from tests.bench.stub import picture
from tests.bench.wire import Connection

WHOLE, RANGE = "k file of 1.5 MB, whole", "k file of 1.5 MB, 64 kB of it"
_NAME = "image.png"
_RANGE = {"range": "bytes=65536-131071"}


def measure(bench: Bench) -> None:
    """Measure CPU; the peers check no signature."""
    gateway = bench.gateway
    path = asyncio.run(_make_link(gateway))
    for case, headers, names in ((WHOLE, {}, ("nginx", "floor")), (RANGE, _RANGE, ("nginx",))):
        lanes = [Lane(gateway, _get(path, headers))]
        for service in bench.peers(*names):
            assert service.files
            (service.files / _NAME).write_bytes(picture(LARGE_BYTES))
            lanes.append(Lane(service, _get(f"/files/{_NAME}", headers)))
        measure_cpu(case, lanes, bench)


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
