"""Read a server's view of its cluster: CLUSTER SHARDS or, if that is not available, CLUSTER SLOTS."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from service.adapters.redis.client.servers import ServerClient
from service.adapters.redis.client.url import Address


@dataclass(frozen=True, slots=True)
class Node:
    """A server as another sees it."""

    address: Address
    is_primary: bool
    has_failed: bool


@dataclass(frozen=True, slots=True)
class Shard:
    """Ranges of slots, both ends included, and their servers."""

    ranges: tuple[tuple[int, int], ...]
    nodes: tuple[Node, ...]


async def read_shards(server: ServerClient, address: Address, *, is_tls: bool) -> list[Shard]:
    """Return the map of the cluster as *server*, reached at *address*, sees it."""
    try:
        shards = await server.execute_command("CLUSTER", "SHARDS")
    except ResponseError as refused:
        # Unknown to some proxies and hosted services, or not permitted.
        try:
            slots = await server.execute_command("CLUSTER", "SLOTS")
        except ResponseError:
            raise refused from None
        return [_read_slots(row, address) for row in slots]
    return [_read_shard(_pairs(shard), address, is_tls=is_tls) for shard in shards]


def _read_shard(shard: Mapping[str, Any], asked: Address, *, is_tls: bool) -> Shard:
    ends = shard["slots"]
    nodes = []
    for node in map(_pairs, shard["nodes"]):
        # A server that listens in one way only has one port; so has a cluster behind a TLS proxy.
        ports = ("tls-port", "port") if is_tls else ("port", "tls-port")
        port = next(int(node[name]) for name in ports if name in node)
        host = _host(node.get("endpoint", node.get("ip")), asked)
        nodes.append(Node((host, port), _text(node["role"]) != "replica", _text(node["health"]) == "fail"))
    return Shard(tuple(zip(ends[::2], ends[1::2], strict=True)), tuple(nodes))


def _read_slots(row: Sequence[Any], asked: Address) -> Shard:
    first, last, *nodes = row
    return Shard(
        ((first, last),),
        tuple(
            Node((_host(host, asked), int(port)), is_primary=position == 0, has_failed=False)
            for position, (host, port, *_) in enumerate(nodes)
        ),
    )


def _host(name: object, asked: Address) -> str:
    """Return a node's host; a cluster that does not know its hosts means the one that was asked."""
    text = _text(name)
    return asked[0] if text in {"", "?"} else text


def _pairs(answer: Any) -> dict[str, Any]:
    """Read a map, which RESP 2 sends as a list."""
    pairs = answer.items() if isinstance(answer, Mapping) else zip(answer[::2], answer[1::2], strict=True)
    return {_text(name): value for name, value in pairs}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")
