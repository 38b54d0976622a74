"""All keys of all backends at once: callers are told, nothing is paid, attempts stay bounded, and it is over when they are back."""

from collections import Counter
from collections.abc import Sequence

from tests.chaos.finding import Finding
from tests.chaos.ground import Answer, Ground
from tests.chaos.provider import Provider, Script, paint_after
from tests.chaos.row import Rows
from tests.chaos.several import (
    CALL_S,
    Throttled,
    backend,
    burst,
    count_attempts,
    expect_all_served,
    expect_books,
    fails_with,
    gateway_with,
    stream,
)
from tests.processes import Gateway, free_port

ROWS = Rows([])


@ROWS.add("all-failing", "two backends with two keys each answer 503 to everything; then they work again")
async def all_failing(ground: Ground, finding: Finding) -> None:
    await _all_down(ground, finding, fails_with(503, "server_is_overloaded"), status=503)


@ROWS.add("all-refused", "the same with 401; then the keys are good again")
async def all_refused(ground: Ground, finding: Finding) -> None:
    await _all_down(ground, finding, fails_with(401, "invalid_api_key"), status=502)


@ROWS.add("all-throttled", "the same with 429 and a pause of a minute, and of two seconds at another gateway")
async def all_throttled(ground: Ground, finding: Finding) -> None:
    first, second = await _all_down(ground, finding, Throttled(60), status=429)
    # Those of the burst that were under way, and once more each.
    finding.at_most("calls", first.count("throttled") + second.count("throttled"), 1.5 * _orders(ground))
    provider = await ground.provider(Throttled(2))
    gateway = await gateway_with(ground, [backend("only", provider.url, {"a": {}})], "patient")
    expect_all_served(finding, "a short pause is waited for", await burst(ground, [gateway], 8))
    await expect_books(ground, finding, gateway, [provider])


@ROWS.add("all-unreachable", "two backends that do not listen yet when the gateway starts; then they do")
async def all_unreachable(ground: Ground, finding: Finding) -> None:
    ports = free_port(), free_port()
    urls = [f"http://127.0.0.1:{port}/v1" for port in ports]
    tables = [backend("first", urls[0], {"a": {}}), backend("second", urls[1], {"b": {}})]
    gateway = await gateway_with(ground, tables)
    answers = await _order_in_vain(ground, gateway)
    _judge_answers(finding, answers, status=502)
    attempts = await count_attempts(ground, [gateway], outcome="unreachable")
    finding.at_most(f"attempts of {len(answers)} orders", attempts, _most_attempts(answers))
    providers = [await ground.provider(paint_after(CALL_S), port=port) for port in ports]
    await _judge_recovery(ground, finding, gateway)
    await expect_books(ground, finding, gateway, providers)


async def _all_down(
    ground: Ground, finding: Finding, script: Script, *, status: int
) -> tuple[Provider, Provider]:
    """Let all keys act by *script*, and then work again unless they asked for a pause; answers should have *status*."""
    first, second = [await ground.provider(paint_after(CALL_S)) for _ in range(2)]
    tables = [
        backend("first", first.url, {"a": {}, "b": {}}, priority=1),
        backend("second", second.url, {"c": {}, "d": {}}, priority=2),
    ]
    gateway = await gateway_with(ground, tables)
    expect_all_served(finding, "before", await burst(ground, [gateway], 4))
    before = len(first.calls) + len(second.calls)
    first.script = second.script = script
    answers = await _order_in_vain(ground, gateway)
    _judge_answers(finding, answers, status=status)
    calls = len(first.calls) + len(second.calls) - before
    finding.at_most(f"calls of {len(answers)} orders", calls, _most_attempts(answers))
    made = await count_attempts(ground, [gateway], outcome="made")
    finding.equal("counted as failed", await count_attempts(ground, [gateway]) - made, calls)
    if status != 429:
        first.script = second.script = paint_after(CALL_S)
        await _judge_recovery(ground, finding, gateway)
    await expect_books(ground, finding, gateway, [first, second])
    return first, second


def _orders(ground: Ground) -> int:
    return 20 if ground.is_short else 100


async def _order_in_vain(ground: Ground, gateway: Gateway) -> list[Answer]:
    half = _orders(ground) // 2
    return await burst(ground, [gateway], half) + await stream(ground, [gateway], half / 2, 2)


def _most_attempts(answers: Sequence[Answer]) -> float:
    """Return the attempts at most: each once, and once at another key; a tenth more, and what the budget has saved."""
    return 2.1 * len(answers) + 10


def _judge_answers(finding: Finding, answers: Sequence[Answer], *, status: int) -> None:
    finding.note(f"answers {dict(Counter(answer.code for answer in answers))}")
    finding.equal("by status", Counter(answer.status for answer in answers), {status: len(answers)})
    without = sum(one.status in (429, 503) and "retry-after" not in one.headers for one in answers)
    finding.equal("429 and 503 without retry-after", without, 0)


async def _judge_recovery(ground: Ground, finding: Finding, gateway: Gateway) -> None:
    await stream(ground, [gateway], 5, 2)
    expect_all_served(finding, "2 s after they are back", await burst(ground, [gateway], 8))
