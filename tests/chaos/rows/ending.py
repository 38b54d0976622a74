"""Gateways that stop, are stopped twice, are killed, and are replaced under load."""

import asyncio
import itertools
import signal
import time
from collections import Counter
from pathlib import Path

import openai

from tests.chaos.balancers import run_forwarder, run_haproxy
from tests.chaos.books import read_remains
from tests.chaos.finding import Finding
from tests.chaos.ground import Answer, Ground, new_prompt
from tests.chaos.provider import Call, Provider, paint, paint_after
from tests.chaos.row import Rows
from tests.processes import Gateway, free_port

ROWS = Rows([])
_SECRETS = "a-secret-all-replicas-share"
_SDK_KEY = "sk-caller"


async def _replicas(ground: Ground, provider: Provider, *names: str, **settings: object) -> list[Gateway]:
    """Start replicas."""
    valkey = await ground.valkey()
    given: dict[str, object] = {
        "redis_url": valkey.url,
        "secrets": _SECRETS,
        "replicas": len(names),
        "store_url": (ground.directory / "files").as_uri(),
        **settings,
    }
    return [await ground.gateway(provider, name, **given) for name in names]


async def _order_by_sdk(url: str, n: int, **extra: str) -> str:
    """Order by the official SDK with its default retries; returns the code of its error, or `200`."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=_SDK_KEY, timeout=60) as sdk:
        try:
            await sdk.images.generate(model="dall-e-3", prompt=new_prompt(), n=n, extra_headers=extra)
        except openai.APIStatusError as error:
            return f"{error.status_code} {error.code}"
        except openai.APIConnectionError:
            return "no answer"
    return "200"


@ROWS.add(
    "cut-off-orders",
    "SIGTERM, and a second one, while two calls are sent; the official SDK repeats at the other replica",
    covers="P1 A6",
)
async def cut_off_orders(ground: Ground, finding: Finding) -> None:
    provider = await ground.provider()
    one, two, another = await _replicas(ground, provider, "one", "two", "another")
    for times, leaving in ((1, one), (2, another)):
        provider.script = paint_after(20)
        provider.calls.clear()
        async with run_forwarder((leaving, two)) as url, asyncio.TaskGroup() as group:
            order = group.create_task(_order_by_sdk(url, 2))
            await provider.until_called(2)
            # A repeated order would be painted at once.
            provider.script = paint
            for _ in range(times):
                leaving.process.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.3)
            code = await asyncio.to_thread(leaving.process.wait, 30)
        finding.note(f"{times} SIGTERM: {order.result()}, exit code {code}")
        finding.equal("calls for 2 images", len(provider.calls), 2)
        caller = {"authorization": f"Bearer {_SDK_KEY}"}
        booked = await ground.until_booked(two.url, headers=caller, unknown=2 * times)
        finding.equal("booked", +booked, {"unknown": 2 * times})


@ROWS.add("unsent-orders", "SIGTERM while an order waits for its turn: nothing of it was sent", covers="P1")
async def unsent_orders(ground: Ground, finding: Finding) -> None:
    provider = await ground.provider(paint_after(20))
    one, two = await _replicas(ground, provider, "one", "two", max_calls_in_flight=1)
    async with run_forwarder((one, two)) as url, asyncio.TaskGroup() as group:
        group.create_task(_order_by_sdk(url, 1))
        await provider.until_called(1)
        waiting = group.create_task(_order_by_sdk(url, 1))
        await asyncio.sleep(0.5)
        provider.script = paint
        one.process.send_signal(signal.SIGTERM)
    finding.equal("the waiting order, by the SDK's repeat", waiting.result(), "200")
    finding.equal("calls for 2 images", len(provider.calls), 2)


@ROWS.add(
    "settled-stop",
    "SIGTERM cuts off six orders while Redis is up; their books are read once it has ended",
    covers="P9",
)
async def settled_stop(ground: Ground, finding: Finding) -> None:
    provider = await ground.provider(paint_after(30))
    valkey = await ground.valkey()
    given = {"redis_url": valkey.url, "secrets": _SECRETS}
    gateway = await ground.gateway(provider, max_calls_in_flight=4, **given)
    async with asyncio.TaskGroup() as group:
        orders = [group.create_task(ground.order(gateway.url)) for _ in range(6)]
        await provider.until_called(4)
        await asyncio.sleep(0.3)
        code = await asyncio.to_thread(gateway.stop)
    remains = await read_remains(await ground.redis(valkey), Path(ground.directory / "gateway"))
    answers = Counter((each.result().code, each.result().headers.get("x-should-retry")) for each in orders)
    finding.note(f"answers {dict(answers)}")
    finding.equal("exit code", code, 0)
    finding.equal("sent", len(provider.calls), 4)
    finding.equal("left", +remains, {})
    other = await ground.gateway(provider, "other", **given)
    finding.equal("booked", +await ground.booked(other.url), {"unknown": 4})


@ROWS.add(
    "killed-gateway",
    "SIGKILL with an order in flight, restart on the same directory, then the same order",
    covers="P9",
)
async def killed_gateway(ground: Ground, finding: Finding) -> None:
    provider = await ground.provider(paint_after(60))
    valkey = await ground.valkey()
    given = {"redis_url": valkey.url, "secrets": _SECRETS}
    gateway = await ground.gateway(provider, **given)
    async with asyncio.TaskGroup() as group:
        group.create_task(ground.order(gateway.url, "killed"))
        await provider.until_called(1)
        gateway.kill()
    provider.script = paint
    again = await ground.gateway(provider, **given)
    answer = await ground.order(again.url, "killed")
    finding.equal("the same order", answer.code, "200")
    finding.at_most("seconds it waited", answer.took_s, 5)
    finding.equal(
        "booked", +await ground.until_booked(again.url, made=1, unknown=1), {"made": 1, "unknown": 1}
    )


@ROWS.add(
    "rolling-restart",
    "two replicas behind HAProxy, replaced one after the other under load, three times over",
    covers="P9",
)
async def rolling_restart(ground: Ground, finding: Finding) -> None:
    provider = await ground.provider(paint_after(0.05))
    valkey = await ground.valkey()
    ports = [free_port(), free_port()]
    given = {
        "redis_url": valkey.url,
        "secrets": _SECRETS,
        "replicas": 2,
        "store_url": (ground.directory / "files").as_uri(),
        "lame_duck_s": 4,
        "drain_s": 20,
    }

    async def start(number: int) -> Gateway:
        return await ground.gateway(provider, f"replica {number}", port=ports[number], **given)

    url = await ground.enter(lambda: run_haproxy(ground.directory, ports))
    gateways = [await start(0), await start(1)]
    await ground.until_ready(url)
    rounds, is_over = 1 if ground.is_short else 3, asyncio.Event()
    async with asyncio.TaskGroup() as group:
        load = [group.create_task(_keep_ordering(ground, url, is_over, number)) for number in range(12)]
        for turn, number in itertools.product(range(rounds), range(2)):
            ground.tell(f"round {turn + 1} of {rounds}, replica {number + 1}")
            await asyncio.to_thread(gateways[number].stop)
            gateways[number] = await start(number)
            await asyncio.sleep(3)
        is_over.set()
    answers = [answer for task in load for answer in task.result()]
    failed = Counter(answer.code for answer in answers if answer.status != 200)
    finding.equal("failed", dict(failed), {})
    finding.at_least("orders", len(answers), 500 if ground.is_short else 5000)
    made = (await ground.until_booked(gateways[0].url, made=provider.paid))["made"]
    finding.equal("made in the ledger", made, provider.paid)


async def _keep_ordering(ground: Ground, url: str, is_over: asyncio.Event, worker: int) -> list[Answer]:
    """Order new images and old ones in turn, one after the other."""
    answers: list[Answer] = []
    while not is_over.is_set():
        prompt = new_prompt() if len(answers) % 3 == 0 else f"shared {worker} {len(answers) // 9}"
        answers.append(await ground.order(url, prompt))
        await asyncio.sleep(0.05)
    return answers


@ROWS.add(
    "partial-failure",
    "one of four images is refused where nothing is kept; the official SDK decides on a repeat",
    covers="P2",
)
async def partial_failure(ground: Ground, finding: Finding) -> None:
    async def refuse_fourth(call: Call) -> None:
        if call.number == 4:
            await call.fail(400, "moderation_blocked", type="image_generation_user_error")
        else:
            await asyncio.sleep(0.2)
            await call.paint()

    fresh = ground.directory / "fresh.toml"
    fresh.write_text('[policies.fresh]\ncache = "off"\n[teams.open]\nuser_policy = "fresh"\n', "utf-8")
    no_store = {"cache-control": "no-store"}
    provider = await ground.provider(refuse_fourth)
    for name, settings, tries in (
        (
            "cache on",
            {},
            ({}, {"cache-control": "no-cache"}, no_store, {**no_store, "idempotency-key": "one"}),
        ),
        ("cache off", {"cache": "off"}, ({},)),
        ("policy without cache", {"config": fresh}, ({},)),
    ):
        gateway = await ground.gateway(provider, name, **settings)
        for headers in tries:
            provider.calls.clear()
            outcome = await _order_by_sdk(gateway.url, 4, **headers)
            finding.at_most(f"{name}, {headers or 'plain'}: {outcome}, paid", provider.paid, 4)


@ROWS.add(
    "stream-tails", "a provider's stream that hangs, breaks or babbles after its finished image", covers="P7"
)
async def stream_tails(ground: Ground, finding: Finding) -> None:
    tails = ("done and silence", "silence", "reset", "babble", "half a chunk")
    turn = iter(tails)
    provider = await ground.provider(lambda call: _end_badly(call, next(turn)))
    gateway = await ground.gateway(provider, deadline_s=10)
    for tail in tails:
        began_s = time.monotonic()
        answer = await ground.order(gateway.url, model="gpt-image-2", stream=True, partial_images=1)
        is_there = b"image_generation.completed" in answer.content
        finding.is_true(f"{tail}: {time.monotonic() - began_s:.1f} s", is_so=is_there and answer.took_s < 5)
    booked = await ground.until_booked(gateway.url, made=len(tails))
    finding.equal("booked", +booked, {"made": len(tails)})


async def _end_badly(call: Call, tail: str) -> None:
    await call.begin_stream()
    await call.complete()
    await asyncio.sleep(0.1)
    match tail:
        case "done and silence":
            await call.write(b"data: [DONE]\n\n")
            await asyncio.sleep(60)
        case "silence":
            await asyncio.sleep(60)
        case "reset":
            call.reset()
        case "babble":
            await call.write(b"data: {not json\n\nevent: what\ndata: is this\n\n")
        case _:
            await call.write(b"data: {")
            call.reset()
