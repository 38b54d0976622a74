"""Open a client for any form of `GATEWAY_REDIS_URL`; it ends every command in a fixed time and sends it once."""

from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection

from service.adapters.redis.client.cluster import ClusterClient
from service.adapters.redis.client.sentinel import PrimaryPool
from service.adapters.redis.client.servers import ServerClient, ServerPool
from service.adapters.redis.client.topology import Topology
from service.adapters.redis.client.url import Address, parse_redis_url


def open_client(url: str, *, timeout_s: float, connections: int) -> Redis:
    """Return a client for *url*, with at most *connections* to each server; connects on first use.

    Raises:
        ValueError: the URL has none of the known forms.
    """
    where = parse_redis_url(url)
    fixed: dict[str, Any] = {"timeout_s": timeout_s, "connections": connections}
    options = fixed | where.options
    if where.kind == "server":
        return _open_server(options)
    if where.kind == "sentinel":
        sentinels = [_open_server(fixed | where.sentinel_options, address) for address in where.addresses]
        return ServerClient(PrimaryPool(where.primary, sentinels, **options))
    topology = Topology(
        where.addresses,
        is_tls=options.get("connection_class") is SSLConnection,
        open_server=lambda address: _open_server(options, address),
    )
    return ClusterClient(topology, **options)


def _open_server(options: dict[str, Any], address: Address | None = None) -> ServerClient:
    if address is not None:
        options = options | {"host": address[0], "port": address[1]}
    return ServerClient(ServerPool(**options))
