"""Order in bulk, and judge what every trial must leave: exact books, no crash, readiness that tells."""

import asyncio
from collections import Counter
from typing import Any

from tests.chaos.finding import Finding
from tests.chaos.ground import Answer, Ground, log_of
from tests.chaos.provider import Provider
from tests.processes import Gateway


async def order_base64(ground: Ground, gateway: Gateway, orders: int) -> Counter[str]:
    """Order images without links, a few at a time; returns the codes of the answers."""
    answers: list[Answer] = []
    for _ in range(0, orders, 5):
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(ground.order(gateway.url, response_format="b64_json")) for _ in range(5)
            ]
        answers += [task.result() for task in tasks]
    return Counter(answer.code for answer in answers)


async def expect_exact_books(ground: Ground, finding: Finding, gateway: Gateway, provider: Provider) -> None:
    """Expect that the ledger has what the provider was paid for, once everything is replayed."""
    booked = await ground.until_booked(gateway.url, made=provider.paid)
    finding.equal(f"booked of {provider.paid} paid", sum(booked.values()), provider.paid)


def expect_no_crash(finding: Finding, gateway: Gateway, codes: Counter[str]) -> None:
    finding.note(f"answers {dict(codes)}")
    finding.equal("500s", sum(codes[code] for code in ("500", "internal", "internal_error")), 0)
    finding.note(f"tracebacks in the log {log_of(gateway).count('Traceback')}")


async def state_of(ground: Ground, gateway: Gateway) -> dict[str, Any]:
    """Return what `/readyz?verbose` says of each part."""
    told: dict[str, Any] = (await ground.ask("GET", f"{gateway.url}/readyz?verbose")).json
    return {name: word for name, word in told.items() if name != "details"}


async def is_unwell(ground: Ground, gateway: Gateway) -> bool:
    """Tell if readiness names a part that does not work."""
    state = await state_of(ground, gateway)
    return any(word not in ("ok", "unknown", "unchecked", "waiting") for word in state.values())
