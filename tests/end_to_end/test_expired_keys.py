"""Keys that expired long ago are removed from Redis by a running gateway."""

import asyncio
import time
from pathlib import Path

from redis.asyncio import Redis

from service.adapters.redis.accounts import RedisCallers
from service.domain.callers import ApiKey, Role
from tests.http.house import until
from tests.http.offices import open_office
from tests.processes import run_valkey

DAY_S = 86_400


async def give_keys(url: str, expires_s: dict[str, int]) -> None:
    async with Redis.from_url(url) as client:
        book = RedisCallers(client, timeout_s=5)
        for name, at_s in expires_s.items():
            key = ApiKey(
                id=name, team="shop", user="anna", role=Role.USER, hint="ig_", created_s=1, expires_s=at_s
            )
            await book.add_key(key, f"hash-of-{name}")


async def everything_about(url: str, name: str) -> list[str]:
    """Return the Redis keys that hold *name*, in their own name or as a field."""
    async with Redis.from_url(url, decode_responses=True) as client:
        found = []
        async for each in client.scan_iter():
            is_hash = await client.type(each) == "hash"
            if name in each or (is_hash and await client.hexists(each, name)):
                found.append(each)
        return found


def test_keys_that_expired_long_ago_leave_redis_and_listings(tmp_path: Path) -> None:
    now_s = int(time.time())  # noqa: TID251 - compared with the gateway's clock
    with run_valkey() as valkey:
        asyncio.run(give_keys(valkey.url, {"old": now_s - 8 * DAY_S, "recent": now_s - DAY_S, "lasting": 0}))
        with open_office(tmp_path, redis_url=valkey.url, secrets="a-secret-of-these-tests") as office:

            def listed() -> set[str]:
                return {key["id"] for key in office.admin.get("/admin/keys").json()["data"]}

            until(lambda: "old" not in listed())

            assert listed() == {"recent", "lasting"}
            assert asyncio.run(everything_about(valkey.url, "old")) == []
            assert len(asyncio.run(everything_about(valkey.url, "recent"))) == 2
