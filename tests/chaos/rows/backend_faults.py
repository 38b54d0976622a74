"""A backend that hangs while another works; faults of Redis beside those of backends; a model that lives on at one."""

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from tests.chaos.finding import Finding
from tests.chaos.ground import OPERATOR, WITH_KEYS, Ground
from tests.chaos.provider import Call, paint_after
from tests.chaos.row import Rows
from tests.chaos.rows.money import SECRETS
from tests.chaos.several import (
    CALL_S,
    ByKey,
    Throttled,
    backend,
    burst,
    count_attempts,
    count_crossed,
    count_rests,
    expect_all_served,
    expect_books,
    fails_with,
    gateway_with,
    stream,
)
from tests.processes import Gateway, Valkey, run_sandbox

ROWS = Rows([])


@ROWS.add(
    "hanging-backend",
    "the first backend hangs, or drips a byte at a time; the second works; calls may take 13 s",
    waits=True,
)
async def hanging_backend(ground: Ground, finding: Finding) -> None:
    rate_per_s, seconds = 3, 18 if ground.is_short else 40

    async def hang(call: Call) -> None:
        call.fate = "hung"
        if call.number % 2:
            await call.hang()
        await call.write(
            b"HTTP/1.1 200 So\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n{"
        )
        while True:
            await asyncio.sleep(0.3)
            await call.write(b" ")

    first, second = await ground.provider(paint_after(CALL_S)), await ground.provider(paint_after(CALL_S))
    tables = [
        backend("first", first.url, {"a": {}}, timeouts_s={"default": 13}),
        backend("second", second.url, {"b": {}}),
    ]
    gateway = await gateway_with(ground, tables)
    expect_all_served(finding, "before", await burst(ground, [gateway], 3))
    first.script, began_s = hang, time.monotonic()
    answers = await stream(ground, [gateway], rate_per_s, seconds)
    # Calls are overdue after 10 s; a busy machine sees it late.
    late = [one for one in answers if one.began_s > began_s + 13]
    # In full, one tries the first backend again after ten seconds, and hangs.
    finding.at_most(
        f"lost of {len(late)} that came after 13 s, of {len(answers)}",
        sum(one.status != 200 for one in late),
        0 if ground.is_short else 1,
    )
    hung = first.count("hung")
    finding.note(f"all {dict(Counter(one.code for one in answers))}")
    finding.at_most("calls that hung", hung, 13 * rate_per_s)
    finding.at_least("calls that hung", hung, 5)
    sent = Counter(call.prompt for call in (*first.calls, *second.calls))
    finding.equal("orders sent twice", [prompt for prompt, count in sent.items() if count > 1], [])
    finding.equal("counted as timed out", await count_attempts(ground, [gateway], outcome="timed_out"), hung)
    finding.at_least("counted rests", await count_rests(ground, [gateway], key="a", reason="unanswered"), 1)
    await expect_books(ground, finding, gateway, [first, second], unknown=hung)


@ROWS.add(
    "redis-away-throttled",
    "Redis hangs while one of three keys is throttled, at two gateways: each keeps the pause by what it sees itself",
)
async def redis_away_throttled(ground: Ground, finding: Finding) -> None:
    pause_s = 5 if ground.is_short else 30
    provider = await ground.provider(paint_after(CALL_S))
    table = backend("openai", provider.url, {"a": {}, "b": {}, "c": {}})
    valkey, several = await _on_one_redis(ground, [table])
    expect_all_served(finding, "before", await stream(ground, several, 6, 1))
    valkey.signal(signal.SIGSTOP)
    provider.script = ByKey({"sk-a": Throttled(pause_s)}, paint_after(CALL_S))
    expect_all_served(finding, "answers", await stream(ground, several, 6, pause_s + 1))
    valkey.signal(signal.SIGCONT)
    # Each gateway may have two calls with it under way when it is told.
    finding.at_most("throttled calls", provider.count("throttled"), 4)
    finding.at_least("throttled calls", provider.count("throttled"), 1)
    limited = await count_attempts(ground, several, outcome="rate_limited")
    finding.equal("counted as rate_limited", limited, provider.count("throttled"))
    await expect_books(ground, finding, several[0], [provider])


@ROWS.add(
    "redis-away-failing", "Redis hangs while the first backend answers 503 to everything, at two gateways"
)
async def redis_away_failing(ground: Ground, finding: Finding) -> None:
    seconds = 6 if ground.is_short else 30
    first, second = [await ground.provider(paint_after(CALL_S)) for _ in range(2)]
    tables = [backend("first", first.url, {"a": {}}), backend("second", second.url, {"b": {}})]
    valkey, several = await _on_one_redis(ground, tables)
    expect_all_served(finding, "before", await burst(ground, several, 4))
    valkey.signal(signal.SIGSTOP)
    first.script = fails_with(503, "server_is_overloaded")
    answers = await stream(ground, several, 6, seconds)
    valkey.signal(signal.SIGCONT)
    expect_all_served(finding, "answers", answers)
    # Three in a row begin a rest, at each gateway; a trial follows after 2, 4 and 8 seconds.
    finding.at_most(
        f"calls to the first of {len(answers)} orders", first.count("failed"), 2 * (5 + seconds / 2)
    )
    overloaded = await count_attempts(ground, several, backend="first", outcome="overloaded")
    finding.equal("counted as overloaded", overloaded, first.count("failed"))
    await expect_books(ground, finding, several[0], [first, second])


async def _on_one_redis(ground: Ground, tables: Sequence[str]) -> tuple[Valkey, list[Gateway]]:
    valkey = await ground.valkey()
    shared: dict[str, Any] = {
        "redis_url": valkey.url,
        "secrets": SECRETS,
        "replicas": 2,
        "redis_timeout_s": 1,
    }
    return valkey, [await gateway_with(ground, tables, f"gateway-{number}", **shared) for number in range(2)]


@ROWS.add(
    "retired-model",
    "a model that OpenAI has ended lives on at Azure (sandboxes of both); Azure fails, and works again",
)
async def retired_model(ground: Ground, finding: Finding) -> None:
    azure = await ground.enter(lambda: run_sandbox("--kind", "azure", "--deployment", "dalle3=dall-e-3"))
    openai = await ground.enter(run_sandbox)
    tables = [
        backend(
            "azure",
            azure,
            {"a": {}},
            kind="azure",
            api="classic",
            api_version="2025-04-01-preview",
            models={"dall-e-3": {"name": "dalle3"}},
        ),
        backend("openai", f"{openai}/v1", {"b": {}}),
    ]
    gateway = await gateway_with(ground, tables, **WITH_KEYS)
    caller = await ground.caller(gateway, "painters")
    bridged = "gpt-image-2.6-flare"
    await _expect_maker(caller, finding, gateway, "azure", "dall-e-3")
    failures = [{"status": 503, "code": "server_is_overloaded", "count": 100}]
    await ground.ask("PUT", f"{azure}/sandbox/behaviour", json={"failures": failures})
    for _ in range(4):
        await _expect_maker(caller, finding, gateway, "openai", bridged)
    await ground.ask("DELETE", f"{azure}/sandbox/behaviour")
    answers = [await caller.order(gateway.url)]
    async with asyncio.timeout(15):
        while answers[-1].headers.get("x-backend") != "azure":
            await asyncio.sleep(0.3)
            answers.append(await caller.order(gateway.url))
    finding.note(f"{len(answers)} orders until azure is used again")
    made = {"azure dall-e-3": 2, f"openai {bridged}": 4 + len(answers) - 1}
    booked: dict[str, int] = {}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(15):
            while booked != made:
                usage = (await ground.ask("GET", f"{gateway.url}/admin/usage", headers=OPERATOR)).json
                booked = {f"{row['backend']} {row['model']}": row["images"] for row in usage["data"]}
                await asyncio.sleep(0.1)
    finding.equal("booked", booked, made)
    painted = {
        name: sum(len(entry["images"]) for entry in await _journal(ground, url))
        for name, url in (("azure", azure), ("openai", openai))
    }
    finding.equal("painted", painted, {"azure": 2, "openai": made[f"openai {bridged}"]})
    crossed = await count_crossed(ground, [gateway], backend="azure", to="openai")
    finding.at_least("counted as crossed", crossed, 1)


async def _journal(ground: Ground, url: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = (await ground.ask("GET", f"{url}/sandbox/journal")).json["entries"]
    return entries


async def _expect_maker(caller: Ground, finding: Finding, gateway: Gateway, name: str, model: str) -> None:
    """Order an image, and expect its headers and its description to name its maker and its model there."""
    answer = await caller.order(gateway.url)
    told = answer.headers.get("x-backend"), answer.headers.get("x-model-sent")
    finding.equal(f"{answer.code} made by", told, (name, model))
    if answer.status == 200:
        file = urlsplit(answer.json["data"][0]["url"]).path
        info = (await caller.ask("GET", f"{gateway.url}{file}/info")).json
        finding.equal("its description", (info["backend"], info["models"]["sent"]), (name, model))
