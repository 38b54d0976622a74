"""Read what a gateway has left in Redis and on its disk: holds, claims, slots, unsettled files."""

from collections import Counter
from pathlib import Path
from typing import Any

from redis.asyncio import Redis


async def read_remains(client: Redis, data_dir: Path) -> Counter[str]:
    """Return the number of holds, claims, slots in scopes, unsettled settlements and uploads that are left."""
    redis: Any = client  # redis-py types one method for its blocking and its asynchronous client at once
    remains: Counter[str] = Counter()
    for name in [each.decode() for each in await redis.keys("*")]:
        if name.endswith(":holds"):
            remains["holds"] += await redis.zcard(name)
        elif ":pool:" in name:
            entries = await redis.hgetall(name)
            remains["claims"] += sum(value.startswith(b"c|") for value in entries.values())
        elif ":limits:" in name:
            fields = await redis.hgetall(name)
            remains["slots"] += sum(field.startswith(b"hold|") for field in fields)
    for directory in ("outbox", "uploads", "spill"):
        remains[directory] += sum(path.is_file() for path in (data_dir / directory).rglob("*"))
    return remains
