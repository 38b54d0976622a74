"""Read references to images in Redis, which `finish.lua` adds and `forget.lua` removes.

An image that loses a reference is queued for deletion, outside the team's slot and after the
script; if that write is lost, the daily walk through the store still finds the bytes.
Failure behaviour: closed. Anything but a clear answer is `StateUnavailable`.
"""

from collections.abc import AsyncIterator, Iterator, Sequence

import orjson
from redis.asyncio import Redis

from service.adapters.redis import keys
from service.adapters.redis.client.commands import BoundedCommands, batches
from service.adapters.redis.client.script import Script, read_script
from service.domain.errors import StateUnavailable
from service.ports.clock import Clock
from service.ports.references import Reference

_POOLS = "|pools"
_MOST_TRIES = 5


class RedisReferences:
    """Implements all of `ports.references`, and `ports.accounts.KnownTeams`."""

    def __init__(self, client: Redis, *, clock: Clock, timeout_s: float) -> None:
        self._client = client
        self._clock = clock
        self._ask = BoundedCommands(client, timeout_s=timeout_s)
        self._forget = Script(client, read_script("forget"), timeout_s=timeout_s, name="forget")
        self._count = Script(client, read_script("count"), timeout_s=timeout_s, name="count")

    async def has(self, team: str, name: str) -> bool:
        return bool(await self._ask(self._client.hexists(keys.of_team(team).images, name)))

    async def find(self, team: str, name: str) -> Reference | None:
        text = await self._ask(self._client.hget(keys.of_team(team).images, name))
        return None if text is None else _decode(team, name, text)

    async def forget(self, team: str, name: str) -> bool:
        own = keys.of_team(team)
        for _ in range(_MOST_TRIES):
            pools = await self._pools(team, name)
            names = [own.images, own.kept_ages, own.brief_ages, own.totals]
            names += dict.fromkeys(pool for pool, _ in _lines(pools))
            found = int(await self._forget.run(names, name, pools))
            if found >= 0:
                break
            # Another order published the image in between.
        else:
            raise StateUnavailable("contended")
        # Even if nothing was found: an earlier attempt may have succeeded although its answer was lost.
        await self.postpone(name, until_s=self._clock.wall_s())
        return bool(found)

    async def oldest(self, team: str, *, before_s: float, most: int, is_brief: bool = False) -> list[str]:
        own = keys.of_team(team)
        ages = own.brief_ages if is_brief else own.kept_ages
        found = await self._ask(self._client.zrangebyscore(ages, "-inf", f"({before_s}", start=0, num=most))
        return [name.decode() for name in found]

    async def scan(self, team: str) -> AsyncIterator[Reference]:
        async for page in self._ask.pages(keys.of_team(team).images):
            for field, text in page.items():
                name = field.decode()
                if not name.endswith(_POOLS):
                    yield _decode(team, name, text)

    async def totals(self, team: str) -> tuple[int, int]:
        images, size_bytes = await self._ask(
            self._client.hmget(keys.of_team(team).totals, ["images", "bytes"])
        )
        return int(images or 0), int(size_bytes or 0)

    async def teams(self) -> list[str]:
        return sorted(await self._ask.members(keys.SEEN))

    async def existing(self, team: str, names: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for page in batches(names):
            texts = await self._ask(self._client.hmget(keys.of_team(team).images, list(page)))
            found |= {name for name, text in zip(page, texts, strict=True) if text is not None}
        return found

    async def variants(self, team: str, names: Sequence[str]) -> int:
        count = 0
        for page in batches(names):
            fields = [f"{name}{_POOLS}" for name in page]
            texts = await self._ask(self._client.hmget(keys.of_team(team).images, fields))
            places = [
                (pool, index, name.partition(".")[0])
                for name, text in zip(page, texts, strict=True)
                for pool, index in _lines((text or b"").decode())
            ]
            pools = list(dict.fromkeys(pool for pool, _, _ in places))
            numbers = {pool: number for number, pool in enumerate(pools, 1)}
            asked = [(numbers[pool], index, digest) for pool, index, digest in dict.fromkeys(places)]
            if asked:
                count += int(await self._count.run(pools, orjson.dumps(asked)))
        return count

    async def due(self, *, now_s: float, most: int) -> list[str]:
        found = await self._ask(self._client.zrangebyscore(keys.DELETIONS, "-inf", now_s, start=0, num=most))
        return [name.decode() for name in found]

    async def postpone(self, name: str, *, until_s: float) -> None:
        await self._ask(self._client.zadd(keys.DELETIONS, {name: until_s}))

    async def done(self, names: Sequence[str]) -> None:
        if names:
            await self._ask(self._client.zrem(keys.DELETIONS, *names))

    async def _pools(self, team: str, name: str) -> str:
        text: bytes | None = await self._ask(self._client.hget(keys.of_team(team).images, f"{name}{_POOLS}"))
        return (text or b"").decode()


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Yield (pool, index) for each publication of an image."""
    for line in text.splitlines():
        pool, _, index = line.rpartition(" ")
        yield pool, index


def _decode(team: str, name: str, text: bytes) -> Reference:
    fields = orjson.loads(text)
    fields["parents"] = tuple(fields["parents"])
    answered, _, backend = (fields.pop("answered_model") or "").partition(keys.MADE_AT)
    return Reference(name=name, team=team, answered_model=answered or None, backend=backend, **fields)
