"""Keys of backends that are throttled, refused, failing or crowded, while others work; and all of them at once."""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.finding import Finding
from tests.chaos.forms import edit
from tests.chaos.ground import WITH_KEYS, Ground, log_of, new_prompt
from tests.chaos.provider import Call, Provider, paint_after
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
from tests.processes import Gateway

ROWS = Rows([])
_KEYS: Mapping[str, Mapping[str, object]] = {"a": {}, "b": {}, "c": {}}
_BLOCKED = "Your resource has been temporarily blocked because we detected behavior that may violate our content policy."


@ROWS.add("throttled-key", "one of three keys answers 429 and asks for a pause, under a steady load")
async def throttled_key(ground: Ground, finding: Finding) -> None:
    await _throttled_key(ground, finding, gateways=1)


@ROWS.add("throttled-key-of-two", "the same with two gateways on one Redis: one is told, both keep the pause")
async def throttled_key_of_two(ground: Ground, finding: Finding) -> None:
    await _throttled_key(ground, finding, gateways=2)


async def _throttled_key(ground: Ground, finding: Finding, *, gateways: int) -> None:
    pause_s, rate_per_s = (4, 8) if ground.is_short else (60, 10)
    throttled = Throttled(pause_s)
    provider = await ground.provider(ByKey(otherwise=paint_after(CALL_S)))
    several = await _gateways(ground, [backend("openai", provider.url, _KEYS)], gateways)
    expect_all_served(finding, "before", await stream(ground, several, rate_per_s, 1))
    provider.script = ByKey({"sk-a": throttled}, paint_after(CALL_S))
    answers = await stream(ground, several, rate_per_s, pause_s + 3)
    expect_all_served(finding, "answers", answers)
    # A busy machine is late with the news.
    news_s = 1.0 if ground.is_short else 0.5
    since_s = (throttled.began_s or 0) + news_s
    finding.equal(
        f"calls with it from {news_s} s on, in {pause_s} s",
        provider.calls_with("sk-a", since_s=since_s, until_s=throttled.ends_s),
        0,
    )
    finding.at_least("calls with it afterwards", provider.calls_with("sk-a", since_s=throttled.ends_s), 1)
    finding.at_most("throttled calls", provider.count("throttled"), 2 * gateways)
    limited = await count_attempts(ground, several, key="a", outcome="rate_limited")
    finding.equal("counted as rate_limited", limited, provider.count("throttled"))
    finding.equal("counted as crossed", await count_crossed(ground, several), limited)
    finding.at_least("counted rests", await count_rests(ground, several, key="a", reason="throttled"), 1)
    await expect_books(ground, finding, several[0], [provider])


async def _gateways(ground: Ground, tables: Sequence[str], count: int, **settings: object) -> list[Gateway]:
    """Start gateways; several are on one Redis."""
    if count > 1:
        valkey = await ground.valkey()
        settings |= {"redis_url": valkey.url, "secrets": SECRETS, "replicas": count}
    return [await gateway_with(ground, tables, f"gateway-{number}", **settings) for number in range(count)]


@ROWS.add(
    "refused-keys",
    "of four keys one is revoked (401), one blocked (Azure's 403) and one out of quota (429) in mid-run",
)
async def refused_keys(ground: Ground, finding: Finding) -> None:
    seconds = 2 if ground.is_short else 20
    fates = {
        "sk-b": fails_with(401, "invalid_api_key", message="Incorrect API key provided: sk-b."),
        "sk-c": fails_with(403, "Forbidden", message=_BLOCKED),
        "sk-d": fails_with(429, "insufficient_quota", type="insufficient_quota"),
    }
    script = ByKey(otherwise=paint_after(CALL_S))
    provider = await ground.provider(script)
    gateway = await gateway_with(ground, [backend("openai", provider.url, {**_KEYS, "d": {}})])
    expect_all_served(finding, "before", await stream(ground, [gateway], 10, seconds))
    for key, fate in fates.items():
        before, began_s = provider.calls_with(key), time.monotonic()
        finding.at_least(f"{key}: calls before", before, 1)
        script.scripts[key] = fate
        expect_all_served(finding, "answers", await stream(ground, [gateway], 10, seconds))
        finding.at_least("calls afterwards", provider.calls_with(key, since_s=began_s), 1)
    # Those of the moment in which it happens, and trials of half a minute on.
    for key in fates:
        refused = sum(call.key == key and call.fate == "failed" for call in provider.calls)
        finding.at_most(f"{key}: refused calls", refused, 3 if ground.is_short else 6)
    reasons = {"b": "refused", "c": "blocked", "d": "refused"}
    rests = [await count_rests(ground, [gateway], key=key, reason=each) for key, each in reasons.items()]
    finding.at_least("counted rests of each", min(rests), 1)
    finding.equal("counted as crossed", await count_crossed(ground, [gateway]), provider.count("failed"))
    finding.equal("keys in the log", log_of(gateway).count("sk-"), 0)
    await expect_books(ground, finding, gateway, [provider])


@ROWS.add(
    "failing-backend",
    "the first backend answers 503 to everything, in a burst and afterwards, at two gateways; the second has room",
)
async def failing_backend(ground: Ground, finding: Finding) -> None:
    await _failing_backend(ground, finding, room={}, gateways=2)


@ROWS.add(
    "failing-backend-no-room",
    "the same at one gateway, where the second takes only four calls at once: those that it has no room for wait",
)
async def failing_backend_no_room(ground: Ground, finding: Finding) -> None:
    await _failing_backend(ground, finding, room={"calls_in_flight": 4}, gateways=1)


async def _failing_backend(
    ground: Ground, finding: Finding, *, room: Mapping[str, object], gateways: int
) -> None:
    orders, seconds = (40, 4) if ground.is_short else (200, 30)
    # All calls of the burst are under way when the first one fails.
    first = await ground.provider(fails_with(503, "server_is_overloaded", after_s=1))
    second = await ground.provider(paint_after(CALL_S))
    tables = [backend("first", first.url, {"a": {}}), backend("second", second.url, {"b": room})]
    several = await _gateways(ground, tables, gateways)
    expect_all_served(finding, "a burst", await burst(ground, several, orders))
    finding.at_most(f"attempts of {orders} orders", len(first.calls) + len(second.calls), 2 * orders)
    in_burst = len(first.calls)
    answers = await stream(ground, several, 10, seconds)
    expect_all_served(finding, "afterwards", answers)
    # Trials after 2, 4, 8 s and so on; two gateways may both begin one before they are told of the other's.
    trials = 3 if seconds < 10 else 6
    finding.at_most(
        f"calls to the first of {len(answers)} orders", len(first.calls) - in_burst, trials * gateways
    )
    finding.equal("calls to the second", len(second.calls), orders + len(answers))
    overloaded = await count_attempts(ground, several, backend="first", outcome="overloaded")
    finding.equal("counted as overloaded", overloaded, len(first.calls))
    finding.equal("counted as crossed", await count_crossed(ground, several, to="second"), len(first.calls))
    finding.at_least("counted rests", await count_rests(ground, several, key="a", reason="failing"), 1)
    await expect_books(ground, finding, several[0], [first, second])


@ROWS.add("failing-edits", "the first backend reads edits with files whole and answers 503; the second edits")
async def failing_edits(ground: Ground, finding: Finding) -> None:
    first = await ground.provider(fails_with(503, "server_is_overloaded"))
    second = await ground.provider()
    gateway = await gateway_with(
        ground, [backend("first", first.url, {"a": {}}), backend("second", second.url, {"b": {}})]
    )
    expect_all_served(finding, "edits", [await edit(ground, gateway.url) for _ in range(4)])
    sizes = {len(call.body) for call in (*first.calls, *second.calls)}
    finding.note(f"{len(first.calls)} calls to the first, bodies of {sizes} bytes")
    finding.at_most("widest difference of their bodies", max(sizes) - min(sizes), 64)
    finding.equal("counted as crossed", await count_crossed(ground, [gateway]), len(first.calls))
    await expect_books(ground, finding, gateway, [first, second])


@dataclass(slots=True)
class _Bounded:
    """A script that counts the calls of each key at a time."""

    running: Counter[str] = field(default_factory=Counter)
    highest: Counter[str] = field(default_factory=Counter)

    async def __call__(self, call: Call) -> None:
        self.running[call.key] += 1
        self.highest[call.key] = max(self.highest[call.key], self.running[call.key])
        try:
            await asyncio.sleep(0.8)
        finally:
            self.running[call.key] -= 1
        await call.paint()


@ROWS.add(
    "crowded-keys",
    "two gateways, three keys of four calls at once each; a team's 30 orders of n=6 before another's single ones",
)
async def crowded_keys(ground: Ground, finding: Finding) -> None:
    most, orders, script = 4, 30 if ground.is_short else 60, _Bounded()
    provider = await ground.provider(script)
    keys = {name: {"calls_in_flight": most} for name in _KEYS}
    several = await _gateways(ground, [backend("openai", provider.url, keys)], 2, **WITH_KEYS)
    greedy, small = [await ground.caller(several[0], name) for name in ("greedy", "small")]
    slots = most * len(keys)
    async with asyncio.TaskGroup() as group:
        crowd = [
            group.create_task(greedy.order(several[number % 2].url, n=6, response_format="b64_json"))
            for number in range(orders)
        ]
        await ground.until(lambda: len(provider.calls) >= 2 * slots)
        before_it = [
            await _calls_before(small, finding, provider, several[number % 2]) for number in range(4)
        ]
        finding.note(f"calls sent before each {before_it}, of {slots} in one image time")
        finding.at_most("on average", statistics.mean(before_it), slots)
        # On a busy machine an order takes part of an image time to reach the queue.
        finding.at_most("at most", max(before_it), 2 * slots)
        finding.at_least("calls of the other that still wait", 6 * orders - len(provider.calls), 1)
        for task in crowd[orders // 2 :]:
            task.cancel()
    expect_all_served(finding, "the other's", [task.result() for task in crowd[: orders // 2]])
    finding.equal(f"most at once, {most} allowed", script.highest, dict.fromkeys(script.highest, most))
    made = await count_attempts(ground, several, outcome="made")
    finding.equal("counted as made", made, provider.count("made"))


async def _calls_before(small: Ground, finding: Finding, provider: Provider, gateway: Gateway) -> int:
    """Order an image, and return how many other calls were sent before its own."""
    prompt, before = new_prompt(), len(provider.calls)
    finding.equal("single", (await small.order(gateway.url, prompt)).code, "200")
    mine = next((call.number for call in provider.calls if call.prompt == prompt), 10**6)
    return mine - before - 1
