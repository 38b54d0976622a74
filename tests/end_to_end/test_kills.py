"""Ten thousand random operations while gateways and Redis are killed: every image is in the books once.

The judge is the provider's own journal. What a killed process had claimed is booked as
unknown once its lease is over; nothing that was settled is lost, and nothing stays held.
What was made beyond need is traced to the kill or the outage that cost it, image by image.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from service.gateway.admission.shared import LEASE_S
from tests.adapters.redis.orders import names_of, read_hash, read_holds
from tests.end_to_end.books import Books, Kill
from tests.end_to_end.chaos import TEAM, Chaos, open_chaos

OPERATIONS = 10_000
CLIENTS = 40
KILLS = 6
NAMES = ("a", "b")
FREED_S = LEASE_S + 15
BUDGET_MICROUSD = 10**12
RECOVERED_S = 3.0
"""After so long with Redis every gateway has noticed, even on a busy machine."""
MOST_IMAGES = 10


@dataclass(slots=True)
class Tally:
    """What clients needed of each pool, what they were given, and how their orders ended."""

    needed: Counter[str] = field(default_factory=Counter)
    fresh: int = 0
    served: set[str] = field(default_factory=set)
    outcomes: Counter[str] = field(default_factory=Counter)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_ten_thousand_operations_and_a_few_deaths(tmp_path: Path) -> None:
    settings = {
        "default_policy__images_in_flight": 1000,
        "default_policy__budget_per_month_microusd": BUDGET_MICROUSD,
        "budgets_without_redis": "spend",
    }
    async with open_chaos(tmp_path, *NAMES, **settings) as chaos:
        await chaos.sandbox.behave(paint="flat", latency_s=0.02, latency_jitter_s=0.05)
        tally = await operate(chaos, random.Random(7))
        async with asyncio.timeout(FREED_S):
            await until_nothing_is_held(chaos)
        books, ledger = await chaos.books(), await chaos.ledger()
        spent_microusd = await count_spent(chaos)

    assert tally.outcomes.total() == OPERATIONS
    assert tally.outcomes["200"] > OPERATIONS / 2
    assert tally.outcomes["500"] == 0
    # Every image is booked, as made or as cut by the one kill of its maker, and what was served is booked as made.
    assert ledger["made|images"] == books.settled.total()
    assert tally.served <= {one.digest for one in books.made if one.is_settled}
    assert len(books.excused) == len(books.cut)
    assert len(books.cut) <= ledger["unknown|images"]
    assert ledger["unknown|images"] <= sum(count_claimable(books, kill) for kill in books.kills)
    # Nothing was made twice but by gateways that could not ask Redis.
    alone = Counter(one.prompt for one in books.made if is_without_redis(chaos, one.asked_at_s))
    surplus = Counter({prompt: n for prompt, n in books.settled.items() if prompt != "fresh"}) - tally.needed
    assert surplus <= alone
    assert tally.fresh <= books.settled["fresh"]
    assert spent_microusd == ledger["made|microusd"] + ledger["unknown|microusd"] > 0


def count_claimable(books: Books, kill: Kill) -> int:
    """Return how many images the killed gateway can have held at most, given who was waiting there.

    Orders of one prompt claim what is missing for the largest of them together; each fresh one claims its own.
    """
    fresh = sum(one.is_fresh for one in kill.waiting)
    largest: Counter[str] = Counter()
    for one in kill.waiting:
        prompt, n = one.fields["prompt"], one.fields.get("n", 1)
        if not one.is_fresh and n <= MOST_IMAGES:
            largest[prompt] = max(largest[prompt], n)
    there = Counter(one.prompt for one in books.made if one.is_settled and one.asked_at_s < kill.at_s)
    return fresh + (largest - there).total()


def is_without_redis(chaos: Chaos, at_s: float) -> bool:
    return any(since_s <= at_s <= until_s + RECOVERED_S for since_s, until_s in chaos.outages)


async def operate(chaos: Chaos, dice: random.Random) -> Tally:
    """Do everything, in random order, and kill something now and then."""
    tally = Tally()
    numbers = iter(range(OPERATIONS))
    deaths = [OPERATIONS * (i + 1) // (KILLS + 1) for i in range(KILLS)]

    async def work() -> None:
        for number in numbers:
            if number in deaths:
                await kill_something(chaos, deaths.index(number))
            note(tally, await do_something(chaos, tally, dice, number))

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(work())
    return tally


def note(tally: Tally, answer: httpx.Response | None) -> None:
    tally.outcomes[str(answer.status_code) if answer is not None else "gone"] += 1
    if answer is None or answer.status_code != 200:
        return
    tally.served |= {Path(one["url"].partition("?")[0]).stem for one in answer.json()["data"]}
    tally.fresh += "no-cache" in answer.request.headers.get("cache-control", "")


async def do_something(chaos: Chaos, tally: Tally, dice: random.Random, number: int) -> httpx.Response | None:
    gateway, user = dice.choice(NAMES), f"user {dice.randrange(20)}"
    n = dice.choice((1, 1, 1, 2, 4))
    match dice.randrange(10):
        case 0:
            prompt = f"boat {number}"
        case 1:
            headers = {"cache-control": "no-cache"}
            return await chaos.order(gateway, prompt="fresh", user=user, headers=headers)
        case 2:
            return await chaos.order(gateway, prompt="forbidden-word", user=user)
        case 3:
            return await chaos.order(gateway, prompt="a boat", n=MOST_IMAGES + 1, user=user)
        case _:
            prompt = f"boat {dice.randrange(50)}"
    tally.needed[prompt] = max(tally.needed[prompt], n)
    return await chaos.order(gateway, prompt=prompt, n=n, user=user)


async def kill_something(chaos: Chaos, turn: int) -> None:
    # One after the other: what is just starting cannot be killed again.
    async with chaos.killing:
        if turn % 3 == 2:
            async with chaos.without_redis():
                await asyncio.sleep(0.5)
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
        for name in await names_of(redis):
            if ":limits:user:" in name:
                fields = await read_hash(redis, name)
                spent += int(fields.get("month", "0|0").split("|")[1])
                assert "running" not in fields
    return spent
