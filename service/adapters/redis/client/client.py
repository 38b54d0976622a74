"""Open a client for any form of `GATEWAY_REDIS_URL`; it ends every command in a fixed time and sends it once."""

from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection

from service.adapters.redis.client.cluster import ClusterClient
from service.adapters.redis.client.line import PLACES
from service.adapters.redis.client.round_trips import NoteRoundTrip, drop_round_trip
from service.adapters.redis.client.sentinel import PrimaryPool
from service.adapters.redis.client.servers import ServerClient, ServerPool
from service.adapters.redis.client.topology import Topology
from service.adapters.redis.client.url import Address, parse_redis_url


def open_client(
    url: str,
    *,
    timeout_s: float,
    connections: int,
    places: int = PLACES,
    note: NoteRoundTrip = drop_round_trip,
) -> Redis:
    """Return a client for *url*; connects on first use.

    To each server it has one connection for scripts, on which at most *places* are under way, and at most *connections*
    for other commands.

    *note* takes every round trip, except those to sentinels.

    Raises:
        ValueError: the URL has none of the known forms.
    """
    where = parse_redis_url(url)
    fixed: dict[str, Any] = {"timeout_s": timeout_s, "connections": connections, "places": places}
    options = fixed | where.options
    if where.kind == "server":
        return _open_server(options, note)
    if where.kind == "sentinel":
        sentinels = [
            _open_server(fixed | where.sentinel_options | _place(address), drop_round_trip)
            for address in where.addresses
        ]
        return ServerClient(PrimaryPool(where.primary, sentinels, **options), note)
    topology = Topology(
        where.addresses,
        is_tls=options.get("connection_class") is SSLConnection,
        open_server=lambda address: _open_server(options | _place(address), note),
    )
    return ClusterClient(topology, note, **options)


def _open_server(options: dict[str, Any], note: NoteRoundTrip) -> ServerClient:
    return ServerClient(ServerPool(**options), note)


def _place(address: Address) -> dict[str, Any]:
    return {"host": address[0], "port": address[1]}
