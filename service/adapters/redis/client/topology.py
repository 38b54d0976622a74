"""Map the slots of a cluster to their servers, and hold the clients of these servers.

Failure behaviour: a redirection or a server that does not answer makes the next caller read
the map again, from doubted servers last. One caller reads; the others use the old map meanwhile.
A slot whose only server has failed has no owner.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence

from redis.exceptions import ClusterDownError, RedisError

from service.adapters.redis.client.servers import ServerClient
from service.adapters.redis.client.shards import Shard, read_shards
from service.adapters.redis.client.url import Address

_SLOTS = 16384
_PAUSE_S = 0.1
"""Shortest time between two reads of the map, if there is an old one."""


class Topology:
    """The map of one cluster, read from any of its servers, *seeds* first."""

    def __init__(
        self, seeds: Sequence[Address], *, is_tls: bool, open_server: Callable[[Address], ServerClient]
    ) -> None:
        self._seeds = tuple(seeds)
        self._is_tls = is_tls
        self._open_server = open_server
        self._servers: dict[Address, ServerClient] = {}
        self._known = list(dict.fromkeys(seeds))
        self._doubted: set[Address] = set()
        self._owners: dict[int, Address] = {}
        self._is_stale = True
        self._asking = asyncio.Lock()
        self._pause_until_s = 0.0

    async def find_owner(self, slot: int) -> Address:
        """Return the server that owns *slot*.

        Raises:
            ClusterDownError: the slot has no owner, or its owner has failed.
        """
        await self._refresh()
        if slot not in self._owners:
            self._is_stale = True
            raise ClusterDownError(f"no living server owns slot {slot}")
        return self._owners[slot]

    async def find_any(self) -> Address:
        """Return a server that is believed to live, in rotation."""
        await self._refresh()
        return next(self._take_turns())

    def server(self, address: Address) -> ServerClient:
        """Return the client of one server."""
        if address not in self._servers:
            self._servers[address] = self._open_server(address)
        return self._servers[address]

    def move(self, slot: int, address: Address) -> None:
        """Note that *slot* has moved, as a server says."""
        self._owners[slot] = address
        self._is_stale = True

    def doubt(self, address: Address) -> None:
        """Note that a server does not answer or is unable to."""
        self._doubted.add(address)
        self._is_stale = True

    def trust(self, address: Address) -> None:
        """Note that a server answers."""
        self._doubted.discard(address)

    async def aclose(self) -> None:
        """Close the clients of all servers."""
        for server in self._servers.values():
            await server.aclose()

    async def _refresh(self) -> None:
        # With an old map, callers neither wait for a running read nor read all the time.
        if not self._is_stale or (self._owners and (self._asking.locked() or _now_s() < self._pause_until_s)):
            return
        async with self._asking:
            # Callers that waited for the first read need another only if that failed.
            if self._owners and _now_s() < self._pause_until_s:
                return
            try:
                await self._ask_all()
            except RedisError:
                # An old map is better than none: its servers report their own faults.
                if not self._owners:
                    raise
            finally:
                self._pause_until_s = _now_s() + _PAUSE_S

    async def _ask_all(self) -> None:
        failures: list[RedisError] = []
        turns = self._take_turns()
        for _ in range(len(self._known)):
            address = next(turns)
            try:
                shards = await read_shards(self.server(address), address, is_tls=self._is_tls)
            except RedisError as failure:
                self._doubted.add(address)
                failures.append(failure)
            else:
                self.trust(address)
                await self._learn(shards)
                return
        raise failures[-1]

    def _take_turns(self) -> Iterator[Address]:
        """Yield addresses in rotation, doubted ones last."""
        for address in sorted(self._known, key=self._doubted.__contains__):
            self._known.remove(address)
            self._known.append(address)
            yield address

    async def _learn(self, shards: Sequence[Shard]) -> None:
        owners: dict[int, Address] = {}
        for shard in shards:
            # After a failover the old primary may still be listed beside the new one.
            living = [node.address for node in shard.nodes if node.is_primary and not node.has_failed]
            for first, last in shard.ranges if living else ():
                owners |= dict.fromkeys(range(first, last + 1), living[0])
        nodes = [node for shard in shards for node in shard.nodes]
        self._owners = owners
        self._is_stale = len(owners) < _SLOTS
        self._known = list(dict.fromkeys([*(node.address for node in nodes), *self._seeds]))
        self._doubted |= {node.address for node in nodes if node.has_failed}
        for address in self._servers.keys() - set(self._known):
            await self._servers.pop(address).leave()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
