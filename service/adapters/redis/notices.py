"""Exchange notices between gateways and commands through Redis.

Commands learn here if their secrets are the gateway's, and which names its
configuration file has taken. The gateway that started last decides.
Failure behaviour: closed. Anything but a clear answer is `StateUnavailable`.
"""

import orjson
from redis.asyncio import Redis

from service.adapters.redis import keys
from service.adapters.redis.client.asking import Asking
from service.domain.callers import DeclaredNames

_SECRETS = keys.directory_key("secrets")
_DECLARED = keys.directory_key("declared")


class RedisNotices:
    """Implements `ports.processes.SecretChecks` and `ports.processes.Declarations`."""

    def __init__(self, client: Redis, *, timeout_s: float) -> None:
        self._client = client
        self._ask = Asking(client, timeout_s=timeout_s)

    async def read_secret_check(self) -> str | None:
        """Implement `SecretChecks.read_secret_check`."""
        check: bytes | None = await self._ask(self._client.get(_SECRETS))
        return None if check is None else check.decode()

    async def put_secret_check(self, check: str) -> None:
        """Implement `SecretChecks.put_secret_check`."""
        await self._ask(self._client.set(_SECRETS, check))

    async def read_declared(self) -> DeclaredNames:
        """Implement `Declarations.read_declared`."""
        text = await self._ask(self._client.get(_DECLARED))
        if text is None:
            return DeclaredNames()
        return DeclaredNames(**{kind: frozenset(names) for kind, names in orjson.loads(text).items()})

    async def put_declared(self, names: DeclaredNames) -> None:
        """Implement `Declarations.put_declared`."""
        kinds = {"policies": names.policies, "teams": names.teams, "models": names.models}
        text = orjson.dumps({kind: sorted(each) for kind, each in kinds.items()})
        await self._ask(self._client.set(_DECLARED, text))
