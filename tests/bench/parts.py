"""`make bench ARGS=parts`: parts of an order by themselves: Redis' own time for an order's two scripts, and knowing a caller again.

Redis' time is its own (`INFO commandstats`), without the way there and back. Each is
the median of many batches, since other work on the machine only ever adds.
"""

import asyncio
import statistics
import sys
import time

from redis.asyncio import Redis

from service.adapters.clock import SystemClock
from service.adapters.redis.client.client import open_client
from service.domain.callers import ApiKey, Directory, Policy, Role
from service.domain.limits import Limit, Resource
from service.gateway.accounts.credentials import Credentials
from service.gateway.accounts.identify import Callers
from service.ports.admission import Ask
from tests.adapters.redis.orders import POOL, TEAM, made, make_ask, open_book, settle
from tests.processes import run_valkey

BATCHES = 20
IN_FLIGHT = 50
SCOPES = (("user", "u1"), ("key", "k1"), ("team", TEAM))
LIMITS = tuple(
    Limit(resource=resource, scope=scope, key=key, amount=60_000_000)
    for scope, key in SCOPES
    for resource in Resource
)
TOKEN = f"ig_{'x' * 43}"


def print_parts() -> None:
    """Measure and print."""
    sys.stdout.write("| part | microseconds |\n| --- | --- |\n")
    sys.stdout.write("".join(f"| {name} | {us:.0f} |\n" for name, us in asyncio.run(_measure())))


async def _measure() -> list[tuple[str, float]]:
    """Return what was measured, each with its microseconds."""
    with run_valkey() as valkey:
        client = open_client(valkey.url, timeout_s=2, connections=2)
        two, finish = await _order_us(client, LIMITS[:2])
        ten, _ = await _order_us(client, LIMITS[:10])
        await client.aclose()
    return [
        ("Redis: `begin` of a miss, two limits", two),
        (f"Redis: `begin` of a miss, ten limits of three scopes, up to {IN_FLIGHT} images in flight", ten),
        ("Redis: `finish`, three scopes", finish),
        ("gateway: an API key it knows to a caller with three policies", await _identify_us()),
    ]


async def _order_us(client: Redis, limits: tuple[Limit, ...]) -> tuple[float, float]:
    """Return the times of `begin` and `finish`, with some other orders under way."""
    book = open_book(client)
    await client.flushall()
    begin_us, finish_us = [], []
    for batch in range(BATCHES):
        asks = [_ask(limits, f"{batch}.{number}") for number in range(IN_FLIGHT)]
        await client.config_resetstat()
        for ask in asks:
            await book.begin(ask)
        begin_us.append(await _script_us(client))
        await client.config_resetstat()
        for ask in asks:
            await book.finish(settle(ask, made=made((0, "a"))))
        finish_us.append(await _script_us(client))
    return statistics.median(begin_us), statistics.median(finish_us)


def _ask(limits: tuple[Limit, ...], pool: str) -> Ask:
    return make_ask(limits=limits, scopes=SCOPES, pool=f"{POOL}{pool}", fresh=True)


async def _script_us(client: Redis) -> float:
    stats = await client.info("commandstats")
    return float(stats["cmdstat_evalsha"]["usec_per_call"])


class _OneKey:
    """Implements `ports.accounts.CallerBook` with one key."""

    async def find_key(self, _: str) -> ApiKey:
        return ApiKey(
            id="k1", team=TEAM, user="ann", role=Role.SERVICE, hint="", created_s=0, policy="limited"
        )

    async def read_directory(self) -> Directory:
        return Directory(policies={"limited": Policy(name="limited", images_per_min=10)})

    async def revision(self) -> int:
        return 1


async def _identify_us() -> float:
    callers = Callers(
        credentials=Credentials(
            takes_keys=True,
            takes_jwt=False,
            token_keys=(b"k" * 32,),
            person_key=b"p" * 32,
            admin_key="a" * 32,
        ),
        book=_OneKey(),
        verifier=None,
        declared=Directory(),
        default_policy=Policy(),
        clock=SystemClock(),
    )
    await callers.look_again()
    batches_us = []
    for _ in range(50):
        started_s = time.perf_counter()
        for _ in range(200):
            callers.caller_of(await callers.identify(TOKEN), None)
        batches_us.append((time.perf_counter() - started_s) / 200 * 1e6)
    return statistics.median(batches_us)
