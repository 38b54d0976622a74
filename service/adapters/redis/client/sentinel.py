"""Connect to the current primary, as the sentinels see it.

Failure behaviour: closed. A new connection asks the sentinels first. If they name a new
server, the old connections are closed; if they name none that lives, that is an error.
"""

import asyncio
from typing import Any

from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import RedisError

from service.adapters.redis.client.servers import ServerClient, ServerPool, guide_connections
from service.adapters.redis.client.url import Address


class PrimaryPool(ServerPool):
    """Connections to the primary *name*; owns *sentinels*, the clients of the sentinels."""

    def __init__(self, name: str, sentinels: list[ServerClient], **options: Any) -> None:
        super().__init__(**guide_connections(options, self._find))
        self._name = name
        self._sentinels = sentinels
        self._address: Address | None = None

    async def aclose(self) -> None:
        """Close all connections, the sentinels' clients too."""
        await super().aclose()
        for sentinel in self._sentinels:
            await sentinel.aclose()

    async def _find(self) -> Address:
        address = await self._ask_all()
        if address != self._address:
            self._address = address
            await self.leave()
        return address

    async def _ask_all(self) -> Address:
        found_none = False
        failures: list[RedisError] = []
        for sentinel in tuple(self._sentinels):
            try:
                address = await _ask(sentinel, self._name)
            except asyncio.CancelledError:
                # Most likely it hangs and used up the caller's time; the next caller asks another first.
                self._put_last(sentinel)
                raise
            except RedisError as failure:
                self._put_last(sentinel)
                failures.append(failure)
                found_none |= str(failure).startswith("No such master")
            else:
                if address is not None:
                    return address
                found_none = True
        if found_none:
            raise MasterNotFoundError("the sentinels know of no living primary")
        raise failures[-1]

    def _put_last(self, sentinel: ServerClient) -> None:
        self._sentinels.remove(sentinel)
        self._sentinels.append(sentinel)


async def _ask(sentinel: ServerClient, name: str) -> Address | None:
    """Return the primary's address, or None while it is down."""
    state = await sentinel.execute_command("SENTINEL MASTER", name)
    if not state["is_master"] or state["is_sdown"] or state["is_odown"]:
        return None
    return state["ip"], int(state["port"])
