"""Measure what orders leave in Redis: bytes of each kind of key, after thousands of real orders."""

import asyncio
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass

from tests.bench.load import Orders, order_json, order_many
from tests.bench.servers import House, open_house

ORDERS, USERS, TEAMS = 4_000, 400, 200
_VARIANTS = 4
_CONNECTIONS = 16
_PER_USER = ("limits:user", "ledger")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Bytes that one *thing* has in Redis, and for how long; 0 s: until retention or a person removes it."""

    thing: str
    item_bytes: float
    kept_s: float


def measure_keyspace() -> tuple[list[Kept], float]:
    """Return the bytes of each kind of key, and those that Redis took for one order in all."""
    with ExitStack() as stack:
        house = open_house(stack, 1_000)
        url = house.gateways[0].url
        asyncio.run(order_many(url, _orders("warm", 1), count=50, connections=4, token=house.token))
        before_bytes = _used(house)
        asyncio.run(
            order_many(url, _orders("boat", 1), count=ORDERS, connections=_CONNECTIONS, token=house.token)
        )
        order_bytes = (_used(house) - before_bytes) / ORDERS
        kinds = _read(house)
        token = house.create_key("lab", role="service")
        asyncio.run(order_many(url, _orders("four", _VARIANTS), count=200, connections=8, token=token))
        variant_bytes = (_mean_of_pools(house, "lab") - _mean_of_pools(house, "shop")) / (_VARIANTS - 1)
        before_bytes = _beside(house, "shop", "lab")
        for number in range(TEAMS):
            house.create_key(f"team-{number}")
        team_bytes = (_beside(house, "shop", "lab") - before_bytes) / TEAMS
    kept = [
        Kept(thing=_name(kind), item_bytes=size / (USERS if kind in _PER_USER else ORDERS), kept_s=kept_s)
        for kind, (size, kept_s) in sorted(kinds.items())
        if size > 10 * ORDERS
    ]
    kept.append(Kept(thing="each further variant of a pool", item_bytes=variant_bytes, kept_s=0))
    kept.append(
        Kept(thing="a team with a key, and their lines in the audit", item_bytes=team_bytes, kept_s=0)
    )
    return kept, order_bytes


def _orders(prompt: str, count: int) -> Orders:
    return lambda number: order_json(
        {"model": "dall-e-3", "prompt": f"{prompt} {number}", "n": count, "user": f"user-{number % USERS}"},
        **{"idempotency-key": f"{prompt}-{number}"},
    )


def _used(house: House) -> int:
    return int(house.redis.info("memory")["used_memory"])


def _read(house: House) -> dict[str, tuple[int, float]]:
    """Return the bytes of each kind of key, and the longest time that is left of one."""
    kinds: dict[str, tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for name in house.redis.scan_iter(count=1000):
        kind = _kind(name)
        size, kept_s = kinds[kind]
        kinds[kind] = (
            size + int(house.redis.memory_usage(name, samples=0) or 0),
            max(kept_s, float(house.redis.ttl(name))),
        )
    return kinds


def _beside(house: House, *teams: str) -> int:
    """Return the bytes of all keys but those of *teams*."""
    names = [
        name for name in house.redis.scan_iter(count=1000) if not any(f"{{{team}}}" in name for team in teams)
    ]
    return sum(int(house.redis.memory_usage(name, samples=0) or 0) for name in names)


def _mean_of_pools(house: House, team: str) -> float:
    sizes = [
        int(house.redis.memory_usage(name, samples=0) or 0)
        for name in house.redis.scan_iter(f"*{{{team}}}:pool:*", count=1000)
    ]
    return sum(sizes) / len(sizes)


def _kind(name: str) -> str:
    """Return the kind of a key: what follows its team; limits with their scope."""
    parts = name.partition("}:")[2].split(":") if "}:" in name else name.split(":")[2:]
    return ":".join(parts[:2]) if parts[0] == "limits" else parts[0]


def _name(kind: str) -> str:
    names = {
        "asked": "marker of an ask",
        "ended": "marker of an end",
        "settled": "marker of a settlement",
        "idempotency": "record of an Idempotency-Key, with one image",
        "images": "reference of an image",
        "ages": "age of a reference",
        "pool": "pool with one variant",
        "limits:user": "limits of a user",
        "ledger": "ledger of a user and a day",
        "fanout": "window of equal orders",
    }
    return names.get(kind, kind)
