"""Read what a gateway has left in Redis and on its disk: holds, claims, slots, settlements, uploads."""

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from tests.journals import count_unsettled


async def read_remains(client: Redis, *data_dirs: Path) -> Counter[str]:
    """Return the number of holds, claims, slots in scopes, unsettled settlements and uploads that are left.

    A hold that a sweep has booked is none: only a note of it is kept, for a settlement that comes late.
    """
    redis: Any = client  # redis-py types one method for its blocking and its asynchronous client at once
    remains: Counter[str] = Counter()
    for name in [each.decode() for each in await redis.keys("*")]:
        if ":holds:" in name:
            details = (await redis.hgetall(name.replace(":holds:", ":hold-details:"))).values()
            swept = sum(b'"swept":' in text for text in details)
            remains["holds"] += await redis.zcard(name) - swept
        elif ":pool:" in name:
            entries = await redis.hgetall(name)
            remains["claims"] += sum(value.startswith(b"c|") for value in entries.values())
        elif ":limits:" in name:
            running = await redis.hget(name, "running") or b"0"
            remains["slots"] += int(running.partition(b"|")[0])
    for data_dir in data_dirs:
        remains["journal"] += sum(count_unsettled(data_dir, ahead=ahead) for ahead in (False, True))
    for data_dir, directory in itertools.product(data_dirs, ("uploads", "spill")):
        remains[directory] += sum(path.is_file() for path in (data_dir / directory).rglob("*"))
    return remains
