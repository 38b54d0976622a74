"""Announce the secrets' check value and the declared names of the gateway that started last, in Redis.

Commands compare their own secrets with the check value, and reject names that the gateway's
configuration file declares.
Failure behaviour: closed. Anything but a clear answer is `StateUnavailable`.
"""

import orjson
from redis.asyncio import Redis

from service.adapters.redis import keys
from service.adapters.redis.client.commands import BoundedCommands
from service.domain.callers import DeclaredNames

_SECRETS = keys.directory_key("secrets")
_DECLARED = keys.directory_key("declared")


class RedisAnnouncements:
    """Implements `ports.processes.SecretChecks` and `ports.processes.Declarations`."""

    def __init__(self, client: Redis, *, timeout_s: float) -> None:
        self._client = client
        self._ask = BoundedCommands(client, timeout_s=timeout_s)

    async def read_secret_check(self) -> str | None:
        check: bytes | None = await self._ask(self._client.get(_SECRETS))
        return None if check is None else check.decode()

    async def put_secret_check(self, check: str) -> None:
        await self._ask(self._client.set(_SECRETS, check))

    async def read_declared(self) -> DeclaredNames:
        text = await self._ask(self._client.get(_DECLARED))
        if text is None:
            return DeclaredNames()
        return DeclaredNames(**{kind: frozenset(names) for kind, names in orjson.loads(text).items()})

    async def put_declared(self, names: DeclaredNames) -> None:
        kinds = {"policies": names.policies, "teams": names.teams, "models": names.models}
        text = orjson.dumps({kind: sorted(each) for kind, each in kinds.items()})
        await self._ask(self._client.set(_DECLARED, text))
