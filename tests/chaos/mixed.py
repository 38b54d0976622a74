"""Order as many callers do at once, and break each part in turn: the load and the faults of the soak.

Owns the provider's moods, the kinds of orders, and the faults; what must be true afterwards is `soak.py`'s.
"""

import asyncio
import contextlib
import itertools
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.chaos.disks import Disk, run_disk
from tests.chaos.forms import edit
from tests.chaos.ground import Ground, new_prompt
from tests.chaos.kills import Kill, kill_under_orders
from tests.chaos.provider import Call, Provider
from tests.chaos.row import NotTried
from tests.processes import Gateway, Valkey, free_port, run_valkey

_WORKERS = 10
_DISK_MIB = 512
"""More than the images of ten minutes; the fault fills the rest."""
_AWAY_S = 3.0
_UNKNOWN = ("reset", "hung", "left")
_SETTINGS: dict[str, Any] = {
    "secrets": "a-secret-all-replicas-share",
    "replicas": 2,
    "deadline_s": 10,
    "redis_timeout_s": 1,
    "sweep_s": 2,
    "drain_s": 15,
    "retention_bytes": 20_000_000,
    "default_policy__images_per_min": 1_000_000,
    "default_policy__images_in_flight": 100_000,
}


@dataclass(slots=True)
class Site:
    """Two replicas, a Redis, a store on a small disk (or a directory), and a provider with moods."""

    ground: Ground
    provider: Provider
    valkey: Valkey
    gateways: list[Gateway]
    disk: Disk | None
    dice: random.Random
    ports: list[int]
    answers: Counter[str] = field(default_factory=Counter)
    mood: str = "well"
    fault: str = "none"
    kills: list[Kill] = field(default_factory=list)

    @property
    def billable(self) -> int:
        """Return how many images the provider charges for, or may charge for."""
        return self.provider.paid + sum(
            call.asked for call in self.provider.calls if call.fate in _UNKNOWN and not call.paid
        )

    async def start_gateway(self, number: int) -> None:
        settings = _SETTINGS | {
            "redis_url": self.valkey.url,
            "store_url": (self.ground.directory / "store" / "files").as_uri(),
            "port": self.ports[number],
        }
        gateway = await self.ground.gateway(self.provider, f"replica-{number}", **settings)
        self.gateways.append(gateway)

    async def act(self, call: Call) -> None:
        """Answer a call as the mood is."""
        await asyncio.sleep(self.dice.uniform(0.02, 0.3))
        luck = self.dice.random()
        if self.mood == "failing" and luck < 0.6:
            await call.fail(self.dice.choice((500, 503, 429)))
        elif self.mood == "breaking" and luck < 0.3:
            call.reset()
        elif self.mood == "silent" and luck < 0.2:
            await call.hang()
        elif self.mood == "uneven" and luck < 0.5:
            await asyncio.sleep(_AWAY_S)
            await call.paint()
        elif call.fields.get("stream"):
            await call.begin_stream()
            await call.complete()
            await call.write(b"data: [DONE]\n\n")
        else:
            await call.paint()


async def open_site(ground: Ground) -> Site:
    """Start everything."""
    provider = await ground.provider()
    disk = None
    store = ground.directory / "store"
    try:
        disk = await ground.enter(lambda: run_disk(store, mib=_DISK_MIB))
    except NotTried:
        ground.tell("the store does not fail: mounting is not allowed here")
        store.mkdir(exist_ok=True)
    (ground.directory / "valkey").mkdir()
    valkey = await _start_valkey(ground, free_port())
    site = Site(ground, provider, valkey, [], disk, random.Random(11), [free_port(), free_port()])
    provider.script = site.act
    for number in range(2):
        await site.start_gateway(number)
    return site


async def _start_valkey(ground: Ground, port: int) -> Valkey:
    """Start it with what it wrote before: it keeps every change before it answers."""
    config = {"appendonly": "yes", "appendfsync": "always"}
    return await ground.enter(
        partial(run_valkey, port=port, directory=ground.directory / "valkey", config=config)
    )


async def keep_ordering(site: Site, end_s: float) -> None:
    """Order until *end_s* with all workers, at the replicas in turn."""
    turns = itertools.count()
    async with asyncio.TaskGroup() as group:
        for _ in range(_WORKERS):
            group.create_task(_work(site, end_s, turns))


async def _work(site: Site, end_s: float, turns: "itertools.count[int]") -> None:
    kinds: tuple[Callable[[Site, str], Awaitable[None]], ...] = (
        _new,
        _new,
        _many,
        _edit,
        _equal,
        _hit,
        _leave,
        _stream,
    )
    while time.monotonic() < end_s:
        gateway = site.gateways[next(turns) % len(site.gateways)]
        await site.dice.choice(kinds)(site, gateway.url)
        await asyncio.sleep(site.dice.uniform(0.05, 0.25))


async def _order(site: Site, url: str, prompt: str = "", **fields: Any) -> None:
    answer = await site.ground.order(url, prompt, **fields)
    site.answers[answer.code] += 1


async def _new(site: Site, url: str) -> None:
    await _order(site, url, response_format=site.dice.choice(("url", "b64_json")))


async def _many(site: Site, url: str) -> None:
    model = site.dice.choice(("dall-e-3", "gpt-image-2"))
    await _order(site, url, model=model, n=site.dice.randint(2, 6))


async def _hit(site: Site, url: str) -> None:
    await _order(site, url, f"often {site.dice.randint(1, 20)}")


async def _stream(site: Site, url: str) -> None:
    await _order(site, url, model="gpt-image-2", stream=True)


async def _edit(site: Site, url: str) -> None:
    site.answers[(await edit(site.ground, url)).code] += 1


async def _equal(site: Site, url: str) -> None:
    prompt = new_prompt()
    async with asyncio.TaskGroup() as group:
        for gateway in (*site.gateways, *site.gateways):
            group.create_task(_order(site, gateway.url, prompt, n=site.dice.randint(1, 3)))


async def _leave(site: Site, url: str) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(site.dice.uniform(0.02, 0.2)):
            await _order(site, url, n=2)
            return
    site.answers["left"] += 1


async def keep_breaking(site: Site, end_s: float) -> None:
    """Break one part after the other, with a pause between, until *end_s*; all is well at the end."""
    faults: dict[str, Callable[[Site], Awaitable[None]]] = {
        "the provider breaks off": partial(_in_mood, mood="breaking"),
        "a replica is killed": _kill_gateway,
        "Redis hangs": _hang_redis,
        "a replica is replaced": _replace_gateway,
        "the provider fails": partial(_in_mood, mood="failing"),
        "the provider is silent": partial(_in_mood, mood="silent"),
        "Redis is killed": _kill_redis,
        "the store is full": _fill_store,
    }
    for name, fault in itertools.cycle(faults.items()):
        await asyncio.sleep(2)
        if time.monotonic() + 4 * _AWAY_S > end_s:
            break
        site.fault = name
        await fault(site)
        site.fault, site.mood = "none", "well"


async def _in_mood(site: Site, mood: str) -> None:
    site.mood = mood
    await asyncio.sleep(_AWAY_S)


async def _hang_redis(site: Site) -> None:
    site.valkey.signal(signal.SIGSTOP)
    await asyncio.sleep(_AWAY_S)
    site.valkey.signal(signal.SIGCONT)


async def _kill_redis(site: Site) -> None:
    site.valkey.process.kill()
    await asyncio.sleep(_AWAY_S)
    site.valkey = await _start_valkey(site.ground, int(site.valkey.url.rpartition(":")[2]))


async def _replace_gateway(site: Site) -> None:
    """Send no more orders to the second replica, stop it under those it has, and start it again.

    The first lives on, and its memory is watched.
    """
    leaving = await _take_second(site)
    await asyncio.to_thread(leaving.stop)
    await site.start_gateway(1)


async def _kill_gateway(site: Site) -> None:
    """Kill the second replica under orders of one user, once it has no others, and start it again.

    What it had sent is known then; of a replica that is killed under any order, the books may have an image more.
    """
    leaving = await _take_second(site)
    while await site.ground.metric(leaving.url, "imagegw_in_flight"):  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.1)
    # A fault before may have opened its breaker, which sends one order at a time until one succeeds.
    while (await site.ground.order(leaving.url)).status != 200:  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.5)
    site.mood, user = "uneven", f"killed {len(site.kills) + 1}"
    site.kills.append(await kill_under_orders(site.ground, site.provider, leaving, user))
    site.mood = "well"
    await site.start_gateway(1)


async def _take_second(site: Site) -> Gateway:
    """Let the callers order of the first replica only."""
    leaving = site.gateways.pop(1)
    await asyncio.sleep(0.2)
    return leaving


async def _fill_store(site: Site) -> None:
    if site.disk is None:
        return
    site.disk.fill()
    await asyncio.sleep(_AWAY_S)
    site.disk.free()
