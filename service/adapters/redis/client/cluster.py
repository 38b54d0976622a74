"""Talk to a cluster: send each command to the server that owns the slot of its key.

Failure behaviour: closed, each command within the fixed time of one server. Redirections are followed, since
their sender has not run the command; nothing else is sent again. A failing server costs only its own slots.

Replaces redis-py's cluster client (8.1). That one sends ASKING and its command over different connections (of
twenty concurrent scripts in a moving slot, six failed); on CLUSTERDOWN it disconnects all callers and sleeps a
quarter of a second; it waits for a time-out although the cluster reports a failed server; and it does not
queue for connections.
"""

import asyncio
from typing import Any

from redis import exceptions
from redis.crc import key_slot

from service.adapters.redis.client.line import READ_S, out_of_time
from service.adapters.redis.client.round_trips import NoteRoundTrip, group_of
from service.adapters.redis.client.servers import ServerClient, ServerPool, guide_connections
from service.adapters.redis.client.topology import Topology
from service.adapters.redis.client.url import Address

_MOST_TRIES = 6
_TRY_AGAIN_S = 0.02
"""While a slot moves, the keys of a script may be on both sides."""
_SCRIPTS = frozenset({"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"})
_ANYWHERE = frozenset({"ECHO", "PING", "PUBLISH", "TIME"})
_OF_ONE_SERVER = frozenset({"DBSIZE", "FLUSHALL", "FLUSHDB", "INFO", "KEYS", "RANDOMKEY", "SCAN", "WAIT"})


class ClusterClient(ServerClient):
    """Routes a command by its first key; commands without a key, and subscriptions, go to any live server.

    All keys of a command must share a slot. Pipelines are not routed. Commands that concern a single server
    (KEYS, SCAN, CONFIG and the like) are refused.
    """

    def __init__(self, topology: Topology, note: NoteRoundTrip, **options: Any) -> None:
        super().__init__(ServerPool(**guide_connections(options, topology.find_any)), note)
        self._topology = topology

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close the connections to all servers."""
        await super().aclose(close_connection_pool)
        await self._topology.aclose()

    async def execute_command(
        self, *args: Any, script: str | None = None, until_s: float | None = None, **options: Any
    ) -> Any:
        options |= {"script": script, "until_s": until_s}
        if until_s is None:
            return await self._route(args, options)
        try:
            # Redirections and the map of the cluster have time-outs of their own; this bounds their sum, after that of the line.
            async with asyncio.timeout_at(until_s + 2 * READ_S):
                return await self._route(args, options)
        except TimeoutError:
            raise out_of_time(until_s + 2 * READ_S, "no answer in time") from None

    async def _route(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        key = _first_key(args)
        if key is None:
            return await super().execute_command(*args, **options)
        slot = key_slot(key if isinstance(key, bytes) else str(key).encode())
        address, is_asking = await self._topology.find_owner(slot), False
        for _ in range(_MOST_TRIES):
            try:
                return await self._send(address, is_asking, args, options)
            except exceptions.MovedError as moved:
                address, is_asking = (moved.host or address[0], moved.port), False
                self._topology.move(slot, address)
            except exceptions.AskError as ask:
                address, is_asking = (ask.host or address[0], ask.port), True
            except exceptions.TryAgainError:
                await asyncio.sleep(_TRY_AGAIN_S)
        raise exceptions.ClusterError(f"slot {slot} is sent from one server to the next")

    async def _send(
        self, address: Address, is_asking: bool, args: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        server = self._topology.server(address)
        try:
            asking = _ask(server, args, options["script"]) if is_asking else None
            answer = await (asking or server.execute_command(*args, **options))
        except (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.ClusterDownError):
            self._topology.doubt(address)
            raise
        self._topology.trust(address)
        return answer


async def _ask(server: ServerClient, args: tuple[Any, ...], script: str | None) -> Any:
    """Send a command right behind ASKING on the same connection, as the new owner of its slot demands."""
    with server.measured(script or group_of(args[0])):
        return await _send_behind_asking(server, args)


async def _send_behind_asking(server: ServerClient, args: tuple[Any, ...]) -> Any:
    async with server.pipeline(transaction=False) as pipeline:
        pipeline.execute_command("ASKING")
        pipeline.execute_command(*args)
        *_, answer = await pipeline.execute(raise_on_error=False)
    if isinstance(answer, Exception):
        raise answer
    return answer


def _first_key(args: tuple[Any, ...]) -> Any:
    command = str(args[0]).upper()
    if command in _SCRIPTS:
        return args[3] if int(args[2]) else None
    if command in _ANYWHERE:
        return None
    if command in _OF_ONE_SERVER or " " in command or len(args) < 2:
        raise exceptions.DataError(f"{command} concerns one server of the cluster, not all of it")
    return args[1]
