"""Release at once what a dead process held in Redis: its claims, its holds and its Idempotency-Keys.

Failure behaviour: closed. A failure of one team is raised once the others are done.
"""

import orjson
from redis.asyncio import Redis

from service.adapters.redis import keys
from service.adapters.redis.client.commands import BoundedCommands
from service.adapters.redis.client.script import Script, read_script
from service.adapters.redis.renewals import LEDGER_TTL_S, SWEPT_KEPT_S
from service.domain.errors import StateUnavailable


class RedisAbandonedOrders:
    """Implements `ports.admission.AbandonedOrders`."""

    def __init__(self, client: Redis, *, timeout_s: float) -> None:
        self._client = client
        self._ask = BoundedCommands(client, timeout_s=timeout_s)
        self._release = Script(client, read_script("scopes", "release"), timeout_s=timeout_s, name="release")

    async def release(self, process: str) -> None:
        failure: StateUnavailable | None = None
        arguments = orjson.dumps(
            {
                "process": process,
                "ledger_ttl_s": LEDGER_TTL_S,
                "keep_s": SWEPT_KEPT_S,
                "channel": keys.CHANNEL,
            }
        )
        for team in await self._ask.members(keys.SEEN):
            own = keys.of_team(team)
            try:
                await self._release.run((own.holds, own.hold_details, own.ledgers), arguments)
            except StateUnavailable as error:
                if not error.is_about_keys:
                    raise
                failure = error
        if failure is not None:
            raise failure
