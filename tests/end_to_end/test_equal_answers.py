"""A provider that answers equal prompts with equal bytes: pools stay small, nobody waits, nothing is paid for again."""

import asyncio
import base64
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import orjson
import pytest
from redis.asyncio import Redis

from tests.adapters.redis.orders import names_of, read_hash, read_holds, read_ledger
from tests.http.house import GENERATIONS, png
from tests.processes import Gateway, Valkey, run_gateway

IMAGE = base64.b64encode(png()).decode()
MOST_VARIANTS = 200
CONFIG = """
[models."talkative"]
family = "gpt-image-1"
released = 2026-01-01
price = { text_in = 5, image_in = 8, image_out = 32, text_out = 10 }
"""
USAGE = {
    "input_tokens": 30,
    "input_tokens_details": {"text_tokens": 30, "image_tokens": 0},
    "output_tokens": 1_000,
    "output_tokens_details": {"text_tokens": 200, "image_tokens": 800},
    "total_tokens": 1_030,
}


class Provider(BaseHTTPRequestHandler):
    """Gives each order the same image, as often as it asks for."""

    images: Counter[str] = Counter()  # noqa: RUF012 - one for all connections
    latency_s = 0.0

    def do_POST(self) -> None:
        order: dict[str, Any] = orjson.loads(self.rfile.read(int(self.headers["content-length"])))
        time.sleep(self.latency_s)
        self.images[order["prompt"]] += order["n"]
        answer = {"created": 1, "data": [{"b64_json": IMAGE}] * order["n"], "usage": USAGE}
        body = orjson.dumps(answer)
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def gateway(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = tmp_path_factory.mktemp("config") / "gateway.toml"
    config.write_text(CONFIG)
    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        settings = {
            "openai_base_url": f"http://127.0.0.1:{server.server_port}/v1",
            "openai_api_key": "sk-ours",
            "redis_url": valkey.url,
            "config": config,
            "default_policy__requests_per_min": 0,
            "default_policy__images_per_min": 0,
        }
        with run_gateway(tmp_path_factory.mktemp("equal"), **settings) as gateway:
            yield gateway
        server.shutdown()
        thread.join()


Order = Callable[..., Coroutine[Any, Any, httpx.Response]]


@pytest.fixture
async def order(gateway: Gateway, redis: Redis) -> AsyncGenerator[Order]:
    """Return a way to order; Redis is empty before each test, and nothing is held after it."""
    Provider.images.clear()
    Provider.latency_s = 0.0
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=30) as client:

        async def send(
            prompt: str, n: int, model: str = "dall-e-3", delivery: str = "url", **headers: str
        ) -> httpx.Response:
            body = {"model": model, "prompt": prompt, "n": n, "response_format": delivery}
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            answer = await client.post(GENERATIONS, json=body, headers=named)
            assert answer.status_code == 200, answer.text
            assert len(answer.json()["data"]) == n
            return answer

        yield send
    assert await read_holds(redis, "open") == {}


async def variants(redis: Redis) -> int:
    """Return the number of entries of the one pool."""
    (pool,) = [name for name in await names_of(redis) if ":pool:" in name]
    return len(await read_hash(redis, pool))


async def test_equal_images_are_paid_for_once_for_each_place(order: Order) -> None:
    answers = [await order("a boat", n) for n in (4, 4, 2, 6, 6)]

    assert [answer.headers["x-cache"] for answer in answers] == [
        "miss",
        "hit",
        "hit",
        "partial; hits=4; coalesced=0; misses=2",
        "hit",
    ]
    assert Provider.images["a boat"] == 6


async def test_equal_orders_share_equal_images(order: Order) -> None:
    Provider.latency_s = 0.3
    async with asyncio.TaskGroup() as group:
        for n in (1, 3, 2, 3, 1, 3, 2, 3):
            group.create_task(order("a shared boat", n))

    assert Provider.images["a shared boat"] == 3


async def test_a_pool_of_equal_images_is_bounded_and_still_answers(order: Order, redis: Redis) -> None:
    for _ in range(MOST_VARIANTS // 10 + 2):
        await order("a fresh boat", 10, "gpt-image-2", cache_control="no-cache")
    paid = Provider.images["a fresh boat"]

    assert paid == MOST_VARIANTS + 20
    assert await variants(redis) <= MOST_VARIANTS
    assert (await order("a fresh boat", 10, "gpt-image-2")).headers["x-cache"] == "hit"
    assert Provider.images["a fresh boat"] == paid


async def test_equal_images_whose_bytes_are_lost_are_made_again_once(
    order: Order, gateway: Gateway, redis: Redis
) -> None:
    made = await order("a lost boat", 4)
    (name,) = {entry["url"].rpartition("/")[2].partition("?")[0] for entry in made.json()["data"]}
    (file,) = gateway.log.parent.rglob(name)
    file.unlink()

    again = await order("a lost boat", 4, delivery="b64_json")

    assert again.headers["x-cache"] == "miss"
    assert Provider.images["a lost boat"] == 8
    assert (await order("a lost boat", 4)).headers["x-cache"] == "hit"
    assert await variants(redis) == 4


async def test_tokens_of_text_in_the_output_have_their_own_price(order: Order, redis: Redis) -> None:
    answer = await order("a told boat", 1, "talkative")

    cost = 30 * 5 + 800 * 32 + 200 * 10
    assert answer.json()["usage"]["output_tokens_details"] == USAGE["output_tokens_details"]
    assert int(answer.headers["x-cost-microusd"]) == cost
    ledger = await read_ledger(redis, "open")
    assert (ledger["made|images"], ledger["made|microusd"]) == (1, cost)
