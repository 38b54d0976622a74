"""Two replicas, killed gateways, a killed Redis and clients that hang up: no image is paid for twice.

Every order is repeated under its `Idempotency-Key` until it is answered, as a careful
client would. The judge is the provider's journal; that no wrong image is served is
read from the pixels.
"""

import asyncio
import base64
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import anyio
import httpx
import pytest

from service.sandbox.painting.watermark import read_watermark
from tests.end_to_end.chaos import Chaos, open_chaos

ORDERS = 2000
PROMPTS = 400
AT_ONCE = 20
"""So many prompts are ordered at a time, the next one joining as the oldest leaves: there is always one to make."""
CLIENTS = 30
KILLS = 4
NAMES = ("a", "b")
PATIENCE_S = 90.0


@dataclass(slots=True)
class Tally:
    """What clients needed and saw: serial numbers of images, their orders by prompt, and how orders ended."""

    served: set[int] = field(default_factory=set)
    needed: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    hashes: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_two_thousand_orders_pay_for_needed_images_only(tmp_path: Path) -> None:
    tally = Tally()
    async with open_chaos(tmp_path, *NAMES) as chaos:
        await chaos.sandbox.behave(paint="flat", latency_s=0.1, latency_jitter_s=0.2)
        await order_all(chaos, tally, random.Random(11))
        books = await chaos.books()
        ledger, held = await chaos.ledger(), await chaos.count_held()
        again = await order_what_is_there(chaos, tally)
        made_again = await chaos.count_paid() - len(books.made)

    assert tally.outcomes["200"] == ORDERS
    assert set(tally.outcomes) <= {"200", "gone", "hung up", "409", "503", "504"}
    # What was settled is what was needed, image by image.
    assert books.settled == tally.needed
    assert tally.served <= {one.serial for one in books.made if one.is_settled}
    # The rest was cut, each image by the one kill of the gateway that made it, in a place nobody else had.
    assert len(books.excused) == len(books.cut) >= KILLS // 2
    assert all(books.places_taken(kill) <= tally.needed for kill in books.kills)
    # And all of it is in the books.
    assert ledger["made|images"] == books.settled.total()
    assert ledger["unknown|images"] + held >= len(books.cut)
    # Nothing that is paid for costs anything again.
    assert (again, made_again) == ({200}, 0)
    assert {len(hashes) for hashes in tally.hashes.values()} == {1}
    assert len({one for hashes in tally.hashes.values() for one in hashes}) == len(tally.needed)


async def order_what_is_there(chaos: Chaos, tally: Tally) -> set[int]:
    """Ask for everything that was needed, if it is there; returns the statuses."""
    headers = {"cache-control": "only-if-cached", "authorization": "Bearer chaos"}
    answers = [
        await chaos.order(NAMES[0], prompt=prompt, n=n, headers=headers) for prompt, n in tally.needed.items()
    ]
    return {answer.status_code for answer in answers if answer}


async def order_all(chaos: Chaos, tally: Tally, dice: random.Random) -> None:
    numbers = iter(range(ORDERS))
    deaths = [ORDERS * (i + 1) // (KILLS + 1) for i in range(KILLS)]

    async def work() -> None:
        for number in numbers:
            if number in deaths:
                await kill_something(chaos, deaths.index(number))
            prompt = f"boat {number * PROMPTS // ORDERS + dice.randrange(AT_ONCE)}"
            n = dice.choice((1, 1, 2, 3))
            tally.needed[prompt] = max(tally.needed[prompt], n)
            async with asyncio.timeout(PATIENCE_S):
                await insist(chaos, tally, dice, prompt, n)

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(work())


async def insist(chaos: Chaos, tally: Tally, dice: random.Random, prompt: str, n: int) -> None:
    """Order until there is an answer; hang up now and then, at any moment."""
    key = uuid4().hex
    while True:
        hang_up_s = dice.uniform(0, 0.4) if dice.random() < 0.15 else 60.0
        answer = await ask(chaos, dice.choice(NAMES), prompt, n, key, hang_up_s)
        tally.outcomes[answer if isinstance(answer, str) else str(answer.status_code)] += 1
        if not isinstance(answer, str) and answer.status_code == 200:
            note(tally, prompt, n, answer)
            return
        await asyncio.sleep(0.2)


async def ask(
    chaos: Chaos, gateway: str, prompt: str, n: int, key: str, hang_up_s: float
) -> httpx.Response | str:
    headers = {"idempotency-key": key, "authorization": "Bearer chaos"}
    # Not `asyncio.timeout`: httpcore takes the connections to a killed gateway out of its pool and then closes
    # them one by one, which it shields from anyio's cancellation alone. By asyncio's the rest would never be closed.
    with anyio.move_on_after(hang_up_s):
        answer = await chaos.order(gateway, prompt=prompt, n=n, response_format="b64_json", headers=headers)
        return answer or "gone"
    return "hung up"


def note(tally: Tally, prompt: str, n: int, answer: httpx.Response) -> None:
    marks = [read_watermark(base64.b64decode(entry["b64_json"])) for entry in answer.json()["data"]]
    assert len({mark.serial for mark in marks}) == n, "the same image twice in one answer"
    tally.served |= {mark.serial for mark in marks}
    tally.hashes[prompt] |= {mark.order_hash for mark in marks}


async def kill_something(chaos: Chaos, turn: int) -> None:
    # One after the other: what is just starting cannot be killed again.
    async with chaos.killing:
        if turn % 2:
            async with chaos.without_redis():
                await asyncio.sleep(0.5)
        else:
            name = NAMES[turn // 2]
            await chaos.kill_gateway_in_a_call(name)
            await chaos.start_gateway(name)
