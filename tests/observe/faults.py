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


@dataclass(frozen=True, slots=True)
class Scene:
    """The stack under orders; a fault lasts for *away_s*, or twice as long if its effect comes late."""

    stack: Stack
    orders: Orders
    away_s: float


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
_MOST_WAITING = 30
SETTINGS: dict[str, object] = {
    "unpriced": "count",
    "body_bytes": 2**24,
    "max_calls_in_flight": 8,
    "max_calls_waiting": _MOST_WAITING,
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
_LONGEST_RUSH_S = 60.0
_NEARLY_FULL = 0.85
"""A little more than the alert asks for."""


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
    scene.stack.moods.is_key_revoked = False


async def _account_is_blocked(scene: Scene) -> None:
    async def refuse(call: Call) -> None:
        error = {"message": _BLOCKED, "type": "invalid_request_error", "param": None, "code": None}
        await call.answer(403, {"error": error})

    await _in_script(scene, refuse)


async def _prompts_are_refused(scene: Scene) -> None:
    async def refuse(call: Call) -> None:
        await call.fail(400, "moderation_blocked")

    await _in_script(scene, refuse)


async def _provider_is_overloaded(scene: Scene) -> None:
    async def refuse(call: Call) -> None:
        await call.fail(429 if call.number % 2 else 503)

    await _in_script(scene, refuse)


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
    scene.stack.provider.script = scene.stack.moods.act


async def _rush_fills_the_queue(scene: Scene) -> None:
    """Until both queues have stayed full: a busy machine needs longer to send so many orders.

    Of a caller without limits, as teams may have spent their budgets.
    """
    loop, orders, gateways = asyncio.get_running_loop(), scene.orders, scene.stack.gateways
    pace, orders.pace = orders.pace, {team: 20 * each for team, each in orders.pace.items()}
    # Few ends, so that the failures of the next faults are still many among them.
    scene.stack.moods.typical_s = 5.0
    caller = await _caller_without_limits(scene)
    began_s = full_s = loop.time()
    waiting = [0.0] * len(gateways)
    async with asyncio.TaskGroup() as group:
        while loop.time() - began_s < _LONGEST_RUSH_S and loop.time() - full_s < 2 * scene.away_s:
            for gateway, number in zip(gateways, waiting, strict=True):
                for _ in range(_RUSH - int(number)):
                    group.create_task(caller.order(gateway.url, model=_OF_ONE_BACKEND))
            await asyncio.sleep(scene.away_s / 3)
            waiting = [await caller.metric(each.url, "imagegw_queue_calls") for each in gateways]
            if min(waiting) < _NEARLY_FULL * _MOST_WAITING:
                full_s = loop.time()
            if loop.time() - began_s > 2 * scene.away_s:
                orders.pace = pace
        orders.pace, scene.stack.moods.typical_s = pace, 0.4
    await asyncio.sleep(scene.away_s)


async def _redis_hangs(scene: Scene) -> None:
    scene.stack.valkey.signal(signal.SIGSTOP)
    await asyncio.sleep(2 * scene.away_s)
    scene.stack.valkey.signal(signal.SIGCONT)


async def _store_fails(scene: Scene) -> None:
    """Fill its disk or, where mounting is not allowed, take its directory away, while images for links are made."""
    scene.stack.moods.typical_s = 1.5
    caller = await _caller_without_limits(scene)
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            url = scene.stack.gateways[0].url
            group.create_task(caller.order(url, model="dall-e-3", response_format="url"))
        await asyncio.sleep(0.4)
        with _failing_store(scene.stack):
            await asyncio.sleep(2 * scene.away_s)
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


async def _in_script(scene: Scene, script: Script) -> None:
    """Have the provider follow *script* for a while."""
    scene.stack.provider.script = script
    await asyncio.sleep(scene.away_s)
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
