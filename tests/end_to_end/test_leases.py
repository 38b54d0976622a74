"""What lasts longer than a lease: a Redis that is away, a gateway that hangs, one that is killed without Redis.

All take more than half a minute of real time, since no setting shortens a lease; so
they happen at once, each at a site of its own, and the tests judge what came of them.
"""

import asyncio
import base64
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from service.gateway.admission.shared import LEASE_S
from service.sandbox.painting.watermark import read_watermark
from tests.adapters.redis.orders import names_of, read_hash, read_holds
from tests.end_to_end.books import Books
from tests.end_to_end.chaos import TEAM, Chaos, open_chaos

OUTAGE_S = LEASE_S + 1
KEYED = {"authorization": "Bearer leases", "idempotency-key": "once"}
NO_HEADERS: Mapping[str, str] = {}
FRESH = {"cache-control": "no-cache"}
CACHED = {"cache-control": "only-if-cached"}
SETTINGS = {"default_policy__images_in_flight": 1000}

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(220)]

Answers = dict[str, httpx.Response | None]


@dataclass(slots=True)
class Site:
    """A site after what happened to it: what was answered, by a name for each order, and its books."""

    answers: Answers = field(default_factory=dict)
    ledger: Counter[str] = field(default_factory=Counter)
    books: Books = field(default_factory=lambda: Books(made=(), kills=()))
    holds: dict[str, dict[str, object]] = field(default_factory=dict)
    slots: list[str] = field(default_factory=list)

    def status(self, name: str) -> int:
        answer = self.answers[name]
        return answer.status_code if answer is not None else 0

    def serials(self, name: str) -> set[int]:
        """Return the serial numbers of the images of one answer."""
        answer = self.answers[name]
        assert answer is not None
        return {read_watermark(base64.b64decode(one["b64_json"])).serial for one in answer.json()["data"]}

    def made(self, prompt: str) -> int:
        return sum(one.prompt == prompt for one in self.books.made)


@dataclass(slots=True)
class Visitors:
    """Order at *chaos*, now or in the background, and keep what is answered."""

    chaos: Chaos
    site: Site
    group: asyncio.TaskGroup

    async def order(
        self, name: str, gateway: str, prompt: str, n: int = 1, *, headers: Mapping[str, str] = NO_HEADERS
    ) -> None:
        self.site.answers[name] = await self.chaos.order(
            gateway, prompt=prompt, n=n, response_format="b64_json", headers=headers
        )

    async def begin(
        self,
        name: str,
        gateway: str,
        prompt: str,
        *,
        takes_s: float,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        """Order in the background and return once the provider works on it, for *takes_s*."""
        await self.chaos.sandbox.behave(paint="flat", latency_s=takes_s)
        number = len(await self.chaos.sandbox.journal(settle_s=0))
        self.leave(self.order(name, gateway, prompt, headers=headers))
        async with asyncio.timeout(30):
            while len(await self.chaos.sandbox.journal(settle_s=0)) == number:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
        await self.chaos.sandbox.behave(paint="flat")

    def leave(self, order: Awaitable[None]) -> None:
        """Do not wait for it."""

        async def work() -> None:
            await order

        self.group.create_task(work())

    async def until_back(self, gateway: str) -> float:
        """Order until *gateway* has noticed that Redis is back; returns when that was."""
        async with asyncio.timeout(30):
            while True:
                answer = await self.chaos.order(gateway, prompt="probe")
                if answer is not None and "x-ratelimit-degraded" not in answer.headers:
                    return time.monotonic()
                await asyncio.sleep(0.1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sites(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[tuple[Site, Site, Site]]:
    """Go through all troubles at once; nothing of it may take longer than it must."""
    after_outage, after_hang, after_kill = Site(), Site(), Site()
    async with asyncio.timeout(200), asyncio.TaskGroup() as group:
        group.create_task(lose_redis(tmp_path_factory.mktemp("outage"), after_outage))
        group.create_task(hang_gateway(tmp_path_factory.mktemp("hang"), after_hang))
        group.create_task(kill_alone(tmp_path_factory.mktemp("kill"), after_kill))
    yield after_outage, after_hang, after_kill


@pytest.fixture
def after_outage(sites: tuple[Site, Site, Site]) -> Site:
    return sites[0]


@pytest.fixture
def after_hang(sites: tuple[Site, Site, Site]) -> Site:
    return sites[1]


@pytest.fixture
def after_kill(sites: tuple[Site, Site, Site]) -> Site:
    return sites[2]


async def lose_redis(root: Path, site: Site) -> None:
    """Order before, over, during and after an outage that is longer than a lease."""
    async with open_chaos(root, "a", "b", **SETTINGS) as chaos:
        async with asyncio.TaskGroup() as group:
            visitors = Visitors(chaos, site, group)
            await chaos.sandbox.behave(paint="flat")
            await visitors.order("before", "a", "kept", 2)
            await visitors.begin("over", "a", "over", takes_s=OUTAGE_S + 9)
            visitors.leave(visitors.order("over, waiting", "a", "over"))
            await visitors.begin("shared", "a", "shared", takes_s=OUTAGE_S + 5)
            visitors.leave(visitors.order("shared, waiting elsewhere", "b", "shared"))
            await visitors.begin("into", "a", "into", takes_s=2)
            async with chaos.without_redis():
                await order_meanwhile(visitors)
                # It is back before the one whose claims have lapsed can say that it lives.
                chaos.stop_gateway("a")
            await visitors.until_back("b")
            await visitors.order("after, of before", "b", "kept", 2)
            visitors.leave(visitors.order("after, early", "b", "over"))
            await asyncio.sleep(4)
            chaos.continue_gateway("a")
            await visitors.until_back("a")
            await chaos.until_replayed()
            visitors.leave(visitors.order("after, late", "b", "over"))
            await visitors.order("after, of into", "b", "into")
            await visitors.order("after, once", "b", "once", headers=KEYED)
        await judge(chaos, site, "kept", "over", "shared", "into", "during", "pair", "once")


async def order_meanwhile(visitors: Visitors) -> None:
    """Order while Redis is away; ends when that has lasted longer than a lease."""
    ends_at_s = time.monotonic() + OUTAGE_S
    await visitors.order("during, here", "a", "during")
    await visitors.order("during, there", "b", "during")
    await visitors.order("during, once", "a", "once", headers=KEYED)
    visitors.leave(visitors.order("during, of over", "a", "over"))
    await asyncio.sleep(ends_at_s - 4 - time.monotonic())
    await visitors.begin("during, first", "b", "pair", takes_s=2)
    await visitors.begin("during, to the end", "b", "pair", takes_s=8, headers=FRESH)
    visitors.leave(visitors.order("during, both", "b", "pair", 2))
    await asyncio.sleep(ends_at_s - time.monotonic())


async def hang_gateway(root: Path, site: Site) -> None:
    """Stop a gateway over its calls until another one has made the same images, and let it go on."""
    async with open_chaos(root, "a", "b", **SETTINGS) as chaos:
        async with asyncio.TaskGroup() as group:
            visitors = Visitors(chaos, site, group)
            # Long enough for a busy machine to stop the gateway before either is made.
            await visitors.begin("plain, late", "a", "plain", takes_s=10)
            await visitors.begin("once, late", "a", "once", takes_s=10, headers=KEYED)
            chaos.stop_gateway("a")
            async with asyncio.TaskGroup() as takers:
                takers.create_task(visitors.order("plain", "b", "plain"))
                takers.create_task(visitors.order("once", "b", "once", headers=KEYED))
            chaos.continue_gateway("a")
        site.answers["once, again"] = await chaos.order(
            "a", prompt="once", response_format="b64_json", headers=KEYED
        )
        await judge(chaos, site, "plain", "once")


async def kill_alone(root: Path, site: Site) -> None:
    """Kill a gateway over calls that only it knows of, and start it again; an order takes 4 s at most there."""
    async with open_chaos(root, "a", deadline_s=4, **SETTINGS) as chaos:
        async with asyncio.TaskGroup() as group:
            visitors = Visitors(chaos, site, group)
            await visitors.order("before", "a", "kept")
            async with chaos.without_redis():
                await visitors.order("alone", "a", "alone")
                await visitors.begin("killed", "a", "killed", takes_s=2)
                await chaos.kill_gateway("a")
        await chaos.start_gateway("a")
        await chaos.until_booked()
        await judge(chaos, site, "kept", "alone")


async def judge(chaos: Chaos, site: Site, *prompts: str) -> None:
    """Read the books, then order everything that was made once more."""
    site.books = await chaos.books()
    site.ledger = await chaos.ledger()
    async with chaos.redis() as redis:
        site.holds = await read_holds(redis, TEAM)
        scopes = [await read_hash(redis, name) for name in await names_of(redis) if ":limits:" in name]
    site.slots = [scope["running"] for scope in scopes if "running" in scope]
    for prompt in prompts:
        site.answers[f"again {prompt}"] = await chaos.order(
            "a", prompt=prompt, response_format="b64_json", headers=CACHED
        )


async def test_every_order_is_answered(after_outage: Site, after_hang: Site) -> None:
    refused = {"during, once": 503}
    statuses = {name: after_outage.status(name) for name in after_outage.answers}
    statuses |= {f"hang: {name}": after_hang.status(name) for name in after_hang.answers}

    assert {name: status for name, status in statuses.items() if status != 200} == refused


async def test_an_outage_loses_no_image(after_outage: Site) -> None:
    assert after_outage.books.cut == ()
    assert after_outage.ledger["made|images"] == len(after_outage.books.made)
    assert after_outage.ledger["unknown|images"] == 0
    assert after_outage.holds == {}
    assert after_outage.slots == []


async def test_an_outage_costs_only_the_orders_made_during_it(after_outage: Site) -> None:
    made = {prompt: after_outage.made(prompt) for prompt in after_outage.books.settled}

    assert made.pop("probe") > 0
    assert made == {
        "kept": 2,
        "over": 1,
        "into": 1,
        "once": 1,
        # Who waited elsewhere could not know after a lease that the maker lived.
        "shared": 2,
        # Nobody could know of the other.
        "during": 2,
        # Who waited for both had one of them when Redis was back, which did not know of the other.
        "pair": 3,
    }


async def test_a_waiter_in_the_makers_process_waits_for_it(after_outage: Site) -> None:
    """However long Redis is away: this process knows what it is making."""
    assert after_outage.serials("over, waiting") == after_outage.serials("over")
    assert after_outage.serials("during, of over") == after_outage.serials("over")


async def test_lapsed_claims_are_awaited_again_after_an_outage(after_outage: Site) -> None:
    assert after_outage.serials("after, early") == after_outage.serials("over")
    assert after_outage.serials("after, late") == after_outage.serials("over")


async def test_no_order_gets_an_image_twice_as_the_outage_ends(after_outage: Site) -> None:
    """What a gateway numbered by itself has another number once Redis knows of it."""
    assert len(after_outage.serials("during, both")) == 2
    assert after_outage.serials("during, first") < after_outage.serials("during, both")


async def test_a_gateway_that_hung_overwrites_no_variant(after_hang: Site) -> None:
    assert after_hang.serials("plain, late").isdisjoint(after_hang.serials("plain"))
    assert after_hang.serials("again plain") == after_hang.serials("plain")
    assert after_hang.serials("once, again") == after_hang.serials("once")


async def test_the_ledger_has_the_images_of_a_hung_gateway_and_their_replacements(
    after_hang: Site,
) -> None:
    assert (after_hang.made("plain"), after_hang.made("once")) == (2, 2)
    assert after_hang.books.cut == ()
    assert after_hang.ledger["made|images"] == 4
    assert after_hang.ledger["unknown|images"] == 0
    assert (after_hang.holds, after_hang.slots) == ({}, [])


async def test_calls_of_a_killed_gateway_are_booked_as_unknown(after_kill: Site) -> None:
    assert [one.prompt for one in after_kill.books.cut] == ["killed"]
    assert after_kill.ledger["unknown|images"] == 1
    assert after_kill.ledger["made|images"] == after_kill.made("kept") + after_kill.made("alone")
    assert (after_kill.holds, after_kill.slots) == ({}, [])
    assert after_kill.status("again alone") == 200
