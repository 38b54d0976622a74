"""k: an image of 1.5 MB by its link, whole and by a range of 64 kB; and links that nginx in front or a bucket serves."""

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
from tests.bench.wire import Connection, Target
from tests.nginx_front import run_front
from tests.s3_server import run_s3

WHOLE, RANGE = "k file of 1.5 MB, whole", "k file of 1.5 MB, 64 kB of it"
LEADING = f"{GATEWAY}, the bucket serves"
FRONTED = f"{GATEWAY}, nginx in front serves"
_NAME = "image.png"
_RANGE = {"range": "bytes=65536-131071"}
_FRONT_KEY = "front-key-of-the-bench"


def measure(bench: Bench) -> None:
    """Measure CPU; the peers check no signature."""
    path = asyncio.run(_make_link(bench.gateway))
    with ExitStack() as stack:
        bench.tell("k: a bucket and nginx start")
        bucket = stack.enter_context(run_s3())
        house = bench.open_house(stack, store_redirect_s=60, **bucket.settings("bench"))
        leads = of_house(house, LEADING)
        leading = Lane(leads, _get(asyncio.run(_make_link(leads)), {}))
        fronts = _open_fronts(bench, stack)
        fronted = [(front, asyncio.run(_make_link(front))) for front in fronts]

        def lanes(headers: dict[str, str]) -> list[Lane]:
            return [
                Lane(bench.gateway, _get(path, headers)),
                *(Lane(front, _get(front_path, headers)) for front, front_path in fronted),
            ]

        measure_cpu(WHOLE, [*lanes({}), leading, *_peers(bench, {}, "nginx", "floor")], bench)
        measure_cpu(RANGE, [*lanes(_RANGE), *_peers(bench, _RANGE, "nginx")], bench)


def _open_fronts(bench: Bench, stack: ExitStack) -> list[Service]:
    """Start a gateway behind nginx, which sends the files; the CPU is that of both. None without nginx."""
    house = bench.open_house(stack, store_front_key=_FRONT_KEY)
    try:
        running = stack.enter_context(
            run_front(
                bench.directory(),
                gateway=house.gateways[0].url,
                store=house.store,
                key=_FRONT_KEY,
                cores=bench.cores.measured,
            )
        )
    except OSError as error:
        bench.results.note(f"{FRONTED}: not measured, {error}")
        return []
    return [Service(name=FRONTED, target=Target(running.url, house.token), pids=(*house.pids, running.pid))]


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
