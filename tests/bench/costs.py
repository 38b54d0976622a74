"""Measure the cost of one order of each kind: CPU of the gateway and of Redis, commands, bytes."""

import asyncio
import statistics
from contextlib import ExitStack
from dataclasses import dataclass
from uuid import uuid4

from tests.bench.load import Order, Orders, edit_form, order_json, order_many
from tests.bench.servers import House, open_house
from tests.bench.stub import picture

CONNECTIONS = 16
_ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Means of one order; bytes are those of its request and answer."""

    name: str
    gateway_ms: float
    redis_us: float
    commands: float
    in_bytes: float
    out_bytes: float


def measure_costs(size_bytes: int, size: str, count: int) -> list[Cost]:
    """Return the costs of orders whose images have *size_bytes*."""
    with ExitStack() as stack:
        house = open_house(stack, size_bytes)
        file = picture(size_bytes)
        kinds: dict[str, Orders] = {
            "miss, URL": lambda _: _order(uuid4().hex, "url"),
            "miss, base64": lambda _: _order(uuid4().hex, "b64_json"),
            "hit, URL": lambda _: _order("again", "url"),
            "hit, base64": lambda _: _order("again", "b64_json"),
            "miss of 4, URL": lambda _: _order(uuid4().hex, "url", n=4),
            "edit, base64": lambda _: edit_form(file, model="gpt-image-2", prompt=f"a hat {uuid4().hex}"),
        }
        for orders in kinds.values():
            _run(house, orders, max(CONNECTIONS, count // 4))
        return [_measure(house, f"{name}, {size}", orders, count) for name, orders in kinds.items()]


def _order(prompt: str, delivery: str, **fields: int) -> Order:
    return order_json({"model": "dall-e-3", "prompt": prompt, "response_format": delivery, **fields})


def _measure(house: House, name: str, orders: Orders, count: int) -> Cost:
    """Return the median of some rounds: other work on the machine only adds."""
    rounds = [_measure_round(house, orders, count) for _ in range(_ROUNDS)]
    gateway_ms, redis_us, commands, out_bytes = (
        statistics.median(each) for each in zip(*rounds, strict=True)
    )
    return Cost(
        name=name,
        gateway_ms=gateway_ms,
        redis_us=redis_us,
        commands=commands,
        in_bytes=len(orders(0).body),
        out_bytes=out_bytes,
    )


def _measure_round(house: House, orders: Orders, count: int) -> tuple[float, float, float, float]:
    cpu_s, redis_cpu_s, commands = house.cpu_s(), house.redis_cpu_s(), _commands(house)
    out_bytes = _run(house, orders, count)
    return (
        (house.cpu_s() - cpu_s) / count * 1e3,
        (house.redis_cpu_s() - redis_cpu_s) / count * 1e6,
        # Less the question itself.
        (_commands(house) - commands - 3) / count,
        out_bytes / count,
    )


def _run(house: House, orders: Orders, count: int) -> int:
    url = house.gateways[0].url
    return asyncio.run(order_many(url, orders, count=count, connections=CONNECTIONS, token=house.token))


def _commands(house: House) -> int:
    return int(house.redis.info("stats")["total_commands_processed"])
