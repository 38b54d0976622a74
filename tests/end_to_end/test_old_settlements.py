"""A gateway that returns after days: what Redis may have booked and forgotten is not booked twice."""

import asyncio
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from service.adapters.clock import SystemClock
from service.ports.admission import SETTLED_KNOWN_S
from tests.adapters.journal.journals import IMAGE, open_journal, settlement
from tests.adapters.redis.orders import read_ledger
from tests.http.house import until
from tests.journals import count_unsettled
from tests.processes import Valkey, run_gateway

DAY_S = 86_400


async def test_a_settlement_older_than_its_marker_is_dropped_and_the_others_are_booked(
    tmp_path: Path, valkey: Valkey, redis: Redis
) -> None:
    now_s = SystemClock().wall_s()
    sent_s = {"forgotten": now_s - SETTLED_KNOWN_S - DAY_S, "known": now_s - DAY_S, "unsent": None}
    async with open_journal(tmp_path) as journal:
        for order_id, at_s in sent_s.items():
            assert await journal.add(settlement(order_id, made=((None, IMAGE),), forgotten=(), sent_s=at_s))

    with run_gateway(tmp_path, redis_url=valkey.url) as gateway:
        await asyncio.to_thread(until, lambda: count_unsettled(tmp_path) == 0)
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
            metrics = (await client.get("/metrics")).text

    failures = {
        tuple(sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "imagegw_state_failures_total" and sample.value
    }
    assert [value for labels, value in failures.items() if ("reason", "expired") in labels] == [1.0]
    assert (await read_ledger(redis, "open"))["made|images"] == 2
