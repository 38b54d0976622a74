"""Ten thousand random operations while gateways and Redis are killed: every image is in the books once.

The judge is the provider's own journal. What a killed process had claimed is booked as
unknown once its lease is over; nothing that was settled is lost, and nothing stays held.
"""

import asyncio
import random
from collections import Counter
from pathlib import Path

import httpx
import pytest

from service.gateway.state import LEASE_S
from tests.adapters.redis.orders import names_of, read_hash, read_holds
from tests.end_to_end.chaos import TEAM, Chaos, open_chaos

OPERATIONS = 10_000
CLIENTS = 40
KILLS = 6
NAMES = ("a", "b")
FREED_S = LEASE_S + 15
BUDGET_MICROUSD = 10**12


@pytest.mark.timeout(300)
async def test_ten_thousand_operations_and_a_few_deaths(tmp_path: Path) -> None:
    settings = {
        "default_policy__images_in_flight": 1000,
        "default_policy__budget_per_month_microusd": BUDGET_MICROUSD,
        "budgets_without_redis": "spend",
    }
    async with open_chaos(tmp_path, *NAMES, **settings) as chaos:
        await chaos.sandbox.behave(paint="flat", latency_s=0.02, latency_jitter_s=0.05)
        outcomes = await operate(chaos, random.Random(7))
        async with asyncio.timeout(FREED_S):
            await until_nothing_is_held(chaos)
        await chaos.until_replayed()
        paid, ledger = await chaos.count_paid(), await chaos.ledger()
        spent_microusd = await count_spent(chaos)

    answered = outcomes.pop("images")
    assert outcomes.total() == OPERATIONS
    assert outcomes["200"] > OPERATIONS / 2
    assert outcomes["500"] == 0
    # Every image is booked: as made, or as unknown where a process died over it.
    assert ledger["made|images"] <= paid <= ledger["made|images"] + ledger["unknown|images"]
    assert ledger["made|images"] >= answered
    assert ledger["unknown|images"] <= KILLS * CLIENTS * 2
    assert spent_microusd == ledger["made|microusd"] > 0


async def operate(chaos: Chaos, dice: random.Random) -> Counter[str]:
    """Do everything, in random order, and kill something now and then."""
    outcomes: Counter[str] = Counter()
    numbers = iter(range(OPERATIONS))
    deaths = [OPERATIONS * (i + 1) // (KILLS + 1) for i in range(KILLS)]

    async def work() -> None:
        for number in numbers:
            answer = await do_something(chaos, dice, number)
            outcomes[str(answer.status_code) if answer else "gone"] += 1
            if answer is not None and answer.status_code == 200:
                fresh = "no-cache" in answer.request.headers.get("cache-control", "")
                outcomes["images"] += len(answer.json()["data"]) if fresh else 0
            if number in deaths:
                await kill_something(chaos, deaths.index(number))

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(work())
    return outcomes


async def do_something(chaos: Chaos, dice: random.Random, number: int) -> httpx.Response | None:
    gateway, user = dice.choice(NAMES), f"user {dice.randrange(20)}"
    n = dice.choice((1, 1, 1, 2, 4))
    match dice.randrange(10):
        case 0:
            return await chaos.order(gateway, prompt=f"boat {number}", n=n, user=user)
        case 1:
            headers = {"cache-control": "no-cache"}
            return await chaos.order(gateway, prompt="fresh", user=user, headers=headers)
        case 2:
            return await chaos.order(gateway, prompt="forbidden-word", user=user)
        case 3:
            return await chaos.order(gateway, prompt="a boat", n=11, user=user)
        case _:
            return await chaos.order(gateway, prompt=f"boat {dice.randrange(50)}", n=n, user=user)


async def kill_something(chaos: Chaos, turn: int) -> None:
    if turn % 3 == 2:
        await chaos.kill_redis()
        await asyncio.sleep(0.5)
        await chaos.start_redis()
    else:
        name = NAMES[turn % 2]
        await chaos.kill_gateway(name)
        await chaos.start_gateway(name)


async def until_nothing_is_held(chaos: Chaos) -> None:
    """Wait until every hold of an order is settled, or booked as what its process left behind."""
    async with chaos.redis() as redis:
        while any("swept" not in hold for hold in (await read_holds(redis, TEAM)).values()):  # noqa: ASYNC110
            await asyncio.sleep(0.5)


async def count_spent(chaos: Chaos) -> int:
    """Return what all users have spent this month; nothing may still be held of their limits."""
    spent = 0
    async with chaos.redis() as redis:
        seconds, _ = await redis.time()
        for name in await names_of(redis):
            if ":limits:user:" in name:
                fields = await read_hash(redis, name)
                spent += int(fields.get("month", "0|0").split("|")[1])
                holds = [value for field, value in fields.items() if field.startswith("hold|")]
                assert all(int(hold.split("|")[0]) < int(seconds) * 1_000_000 for hold in holds), holds
    return spent
