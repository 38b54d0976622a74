"""Read everything in a Redis as text, to search it for texts that must not be there."""

from collections.abc import Awaitable
from typing import Any, cast

from redis.asyncio import Redis


async def read_everything(client: Redis) -> dict[str, str]:
    """Return every key with all it holds."""
    names = [name.decode() for name in await _answer(client.keys("*"))]
    return {name: await _read(client, name) for name in sorted(names)}


async def _read(client: Redis, name: str) -> str:
    match (await _answer(client.type(name))).decode():
        case "string":
            return str(await _answer(client.get(name)))
        case "hash":
            return str(await _answer(client.hgetall(name)))
        case "zset":
            return str(await _answer(client.zrange(name, 0, -1, withscores=True)))
        case "set":
            return str(await _answer(client.smembers(name)))
        case "stream":
            return str(await _answer(client.xrange(name)))
        case other:
            raise AssertionError(f"{name} is a {other}")


async def _answer(answer: object) -> Any:
    # redis-py types one method for its blocking and its asynchronous client at once.
    return await cast("Awaitable[Any]", answer)
