"""Break each part of the stack in turn, while orders go on, so that every panel and alert has something to show.

Owns the faults and the rare orders beside them; `stack.py` has the servers, `orders.py` the usual orders.
"""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image

from tests.chaos.forms import edit, file_of
from tests.chaos.ground import OPERATOR, Ground
from tests.chaos.provider import Call, Script
from tests.observe.orders import Orders
from tests.observe.stack import Stack

_LONGEST_S = 60.0
_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Scene:
    """The stack under orders; a fault lasts for *away_s*, or twice as long if its effect comes late, and until its alerts show."""

    stack: Stack
    orders: Orders
    away_s: float

    async def shows(self, *alerts: str) -> bool:
        """Tell if Prometheus shows all of *alerts*."""
        return {f"ImageGateway{each}" for each in alerts} <= set(await self.stack.prometheus.alerts())

    async def until_shown(self, *alerts: str) -> None:
        """Wait until Prometheus shows *alerts*, which a busy machine delays: at most for `_LONGEST_S`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_S):
                while not await self.shows(*alerts):  # noqa: ASYNC110 - another process
                    await asyncio.sleep(_LOOK_S)
        # For the one who watches, too.
        await asyncio.sleep(2 * _LOOK_S)


Fault = Callable[[Scene], Awaitable[None]]

UNPRICED = "without-a-price"
_DAYS_LEFT = {"ends-in-20-days": 20, "ends-in-5-days": 5, "ends-tomorrow": 1}
_MODEL = """
[models."{name}"]
family = "dall-e"
released = 2026-01-01
prompt_limit = 4000
images_per_call = 1
sizes = {{ fixed = ["1024x1024"] }}
default_size = "1024x1024"
parameters = {{ quality = {{ values = ["standard"], default = "standard" }} }}
"""
_ENDS = """shutdown = {day}
price_per_image = {{ "standard/1024x1024" = 40000 }}
bridge = {{ to = "gpt-image-2" }}
"""
_TEAMS = """
[policies.poor]
budget_per_month_microusd = 1_500_000

[policies.tight]
images_per_min = 5

[teams.press]
policy = "poor"

[teams.research]
policy = "tight"
"""
_BLOCKED = (
    "Your account has been temporarily blocked because we detected behavior that may violate our policy."
)
SETTINGS: dict[str, object] = {
    "unpriced": "count",
    "body_bytes": 2**24,
    "max_calls_in_flight": 8,
    "max_calls_waiting": 30,
}
"""Settings of gateways that the faults need; also a busy machine can fill so short a queue."""
_UNKNOWN = {"authorization": "Bearer a-key-of-nobody"}
_LARGE_BYTES = 2**23
"""More than the quarter of `body_bytes` that one caller may send at once."""
_OF_ONE_BACKEND = "gpt-image-2.6-flare"
_MOST_BROKEN = 60
"""Orders after which a gateway must have noticed: calls of before that still succeed start its count again."""
_RUSH = 45
"""Orders for a gateway with an empty queue, a few more than it sends and lets wait."""


def configuration(today: date) -> str:
    """Return what the faults need of a configuration file.

    A model without a price, models that soon end, a team that soon has spent its budget, and one that orders too much.
    """
    ending = [
        _MODEL.format(name=name) + _ENDS.format(day=today + timedelta(days=days))
        for name, days in _DAYS_LEFT.items()
    ]
    return "".join([_TEAMS, _MODEL.format(name=UNPRICED), *ending])


def today() -> date:
    return datetime.now(UTC).date()


async def break_each_part(scene: Scene) -> None:
    """Cause all faults, one after the other, with a pause between; the last one takes a gateway away."""
    async with asyncio.TaskGroup() as group:
        rare = group.create_task(_keep_ordering_rarely(scene.stack))
        for fault in FAULTS:
            scene.stack.ground.tell(f"{fault.__name__.strip('_').replace('_', ' ')} ...")
            await fault(scene)
            await asyncio.sleep(scene.away_s / 2)
        rare.cancel()


async def _nothing_is_wrong(scene: Scene) -> None:
    await asyncio.sleep(2 * scene.away_s)


async def _key_is_revoked(scene: Scene) -> None:
    scene.stack.moods.is_key_revoked = True
    await asyncio.sleep(scene.away_s)
    await scene.until_shown("ProviderRefusesKey")
    scene.stack.moods.is_key_revoked = False


async def _account_is_blocked(scene: Scene) -> None:
    async def refuse(call: Call) -> None:
        error = {"message": _BLOCKED, "type": "invalid_request_error", "param": None, "code": None}
        await call.answer(403, {"error": error})

    await _in_script(scene, refuse, "AccountBlocked")


async def _prompts_are_refused(scene: Scene) -> None:
    async def refuse(call: Call) -> None:
        await call.fail(400, "moderation_blocked")

    await _in_script(scene, refuse)


async def _provider_is_overloaded(scene: Scene) -> None:
    async def refuse(call: Call) -> None:
        await call.fail(429 if call.number % 2 else 503)

    await _in_script(scene, refuse, "ProviderFails")


async def _provider_breaks_off(scene: Scene) -> None:
    """Until a gateway trusts it no more: usual orders are too few for that on a busy machine."""

    async def break_off(call: Call) -> None:
        call.reset()

    caller, url = await _caller_without_limits(scene), scene.stack.gateways[0].url
    scene.stack.provider.script = break_off
    for _ in range(_MOST_BROKEN):
        await caller.order(url, model=_OF_ONE_BACKEND)
        if await caller.metric(url, "imagegw_breaker_open", part="provider"):
            break
    await asyncio.sleep(scene.away_s)
    await scene.until_shown("ProviderUntrusted")
    scene.stack.provider.script = scene.stack.moods.act


async def _rush_fills_the_queue(scene: Scene) -> None:
    """Fill both queues, and refill them, until that shows; of a caller without limits, as teams may have spent their budgets."""
    loop, orders = asyncio.get_running_loop(), scene.orders
    pace, orders.pace = orders.pace, {team: 20 * each for team, each in orders.pace.items()}
    # Few end, so that the failures of the next faults are still many among them.
    scene.stack.moods.typical_s = 5.0
    caller = await _caller_without_limits(scene)
    began_s = loop.time()
    async with asyncio.TaskGroup() as group:
        while loop.time() - began_s < _LONGEST_S and not await scene.shows("QueueSaturated", "QueueRefuses"):
            for gateway in scene.stack.gateways:
                waiting = int(await caller.metric(gateway.url, "imagegw_queue_calls"))
                for _ in range(_RUSH - waiting):
                    group.create_task(caller.order(gateway.url, model=_OF_ONE_BACKEND))
            await asyncio.sleep(scene.away_s / 3)
            if loop.time() - began_s > 2 * scene.away_s:
                orders.pace = pace
        await asyncio.sleep(max(2 * _LOOK_S, began_s + 2 * scene.away_s - loop.time()))
        orders.pace, scene.stack.moods.typical_s = pace, 0.4
    await asyncio.sleep(scene.away_s)


async def _redis_hangs(scene: Scene) -> None:
    scene.stack.valkey.signal(signal.SIGSTOP)
    await asyncio.sleep(2 * scene.away_s)
    await scene.until_shown("RedisAway")
    scene.stack.valkey.signal(signal.SIGCONT)


async def _store_fails(scene: Scene) -> None:
    """Fill its disk or, where mounting is not allowed, take its directory away, while images for links are made."""
    scene.stack.moods.typical_s = 1.5
    caller, url = await _caller_without_limits(scene), scene.stack.gateways[0].url
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(caller.order(url, model="dall-e-3", response_format="url"))
        await asyncio.sleep(0.4)
        with _failing_store(scene.stack):
            await asyncio.sleep(2 * scene.away_s)
            await scene.until_shown("StoreFails")
    scene.stack.moods.typical_s = 0.4


@contextlib.contextmanager
def _failing_store(stack: Stack) -> Iterator[None]:
    if stack.disk is not None:
        stack.disk.fill()
        yield
        stack.disk.free()
        return
    store = _store_of(stack)
    away = store.with_name("away")
    store.rename(away)
    store.write_bytes(b"")
    yield
    store.unlink()
    away.rename(store)


async def _stored_files_vanish(scene: Scene) -> None:
    """Delete all files, and follow a link to one of them."""
    caller, url = await _caller_without_limits(scene), scene.stack.gateways[0].url
    while (answer := await caller.order(url, model="dall-e-3", response_format="url")).status != 200:  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.5)
    for path in _store_of(scene.stack).rglob("*"):
        if path.is_file():
            path.unlink(missing_ok=True)
    await caller.ask("GET", answer.json["data"][0]["url"])
    await asyncio.sleep(scene.away_s)


async def _gateway_is_killed(scene: Scene) -> None:
    scene.stack.gateways.pop().kill()
    await asyncio.sleep(scene.away_s)
    await scene.until_shown("Down")


# Failures that alerts judge as a share come first, while there are few attempts.
FAULTS: tuple[Fault, ...] = (
    _nothing_is_wrong,
    # A provider that has asked for pauses gets too few calls to break off.
    _provider_breaks_off,
    _provider_is_overloaded,
    _nothing_is_wrong,
    _rush_fills_the_queue,
    _key_is_revoked,
    _account_is_blocked,
    _prompts_are_refused,
    _stored_files_vanish,
    _store_fails,
    _redis_hangs,
    _gateway_is_killed,
)


async def _caller_without_limits(scene: Scene) -> Ground:
    return await scene.stack.ground.caller(scene.stack.gateways[0], "archive")


async def _in_script(scene: Scene, script: Script, *alerts: str) -> None:
    """Have the provider follow *script* for a while, until *alerts* show."""
    scene.stack.provider.script = script
    await asyncio.sleep(scene.away_s)
    await scene.until_shown(*alerts)
    scene.stack.provider.script = scene.stack.moods.act


async def _keep_ordering_rarely(stack: Stack) -> None:
    """Send each second what few callers send: models that end, large bodies, broken files, unknown keys."""
    damaged = _damaged_image()
    while True:
        for caller in stack.callers.values():
            for gateway in tuple(stack.gateways):
                for model in (*_DAYS_LEFT, UNPRICED):
                    await caller.order(gateway.url, model=model)
                await edit(caller, gateway.url, damaged, model="dall-e-2")
                await _send_head_of_large_body(gateway.url, caller)
                await stack.ground.ask(
                    "POST", f"{gateway.url}/v1/images/generations", json={"prompt": "x"}, headers=_UNKNOWN
                )
                policy = {"images_per_min": 1_000}
                await stack.ground.ask(
                    "PUT", f"{gateway.url}/admin/policies/seldom", json=policy, headers=OPERATOR
                )
                await asyncio.sleep(0.5)


async def _send_head_of_large_body(url: str, caller: Ground) -> None:
    """Announce more bytes than any caller may send, and read the refusal."""
    address, key = urlsplit(url), caller.session.headers["authorization"]
    head = f"POST /v1/images/edits HTTP/1.1\r\nhost: gateway\r\ncontent-length: {_LARGE_BYTES}\r\n"
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(f"{head}content-type: application/json\r\nauthorization: {key}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.close()


def _damaged_image() -> bytes:
    """Return a PNG with transparency whose pixels end too early."""
    whole = file_of(Image.effect_noise((256, 256), 90).convert("RGBA"))
    return whole[: len(whole) // 2]


def _store_of(stack: Stack) -> Path:
    return stack.ground.directory / "store" / "files"
