"""Open the Redis client with the gateway's time-outs, and translate its errors.

For every form of `GATEWAY_REDIS_URL`, the client is a `redis.asyncio.Redis` whose every command ends
within a fixed time and is sent once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection
from redis.asyncio.sentinel import MasterNotFoundError

from service.adapters.redis.client.cluster import ClusterClient
from service.adapters.redis.client.sentinel import PrimaryPool
from service.adapters.redis.client.servers import ServerClient, ServerPool
from service.adapters.redis.client.topology import Topology
from service.adapters.redis.client.url import Address, parse_redis_url
from service.domain.errors import StateUnavailable

# The first class that fits names the metric label, so special ones stand before general ones.
_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (MasterNotFoundError, "no_primary"),
    (exceptions.MasterDownError, "no_primary"),
    (exceptions.AuthenticationError, "auth"),
    (exceptions.AuthenticationWrongNumberOfArgsError, "auth"),
    (exceptions.AuthorizationError, "auth"),
    (exceptions.ExternalAuthProviderError, "auth"),
    (exceptions.NoPermissionError, "no_permission"),
    (exceptions.BusyLoadingError, "loading"),
    (exceptions.ReadOnlyError, "readonly"),
    (exceptions.OutOfMemoryError, "oom"),
    (exceptions.NoScriptError, "noscript"),
    (exceptions.MaxConnectionsError, "pool"),
    (exceptions.ClusterError, "cluster_down"),
    (exceptions.TryAgainError, "cluster_down"),
    (exceptions.AskError, "cluster_down"),
    (exceptions.RedisClusterException, "cluster_down"),
    (exceptions.TimeoutError, "timeout"),
    (TimeoutError, "timeout"),
    (exceptions.ConnectionError, "connection"),
    (OSError, "connection"),
    (EOFError, "connection"),
    (exceptions.ResponseError, "response"),
    (exceptions.InvalidResponse, "response"),
)
_CODES = {"BUSY": "busy", "WRONGTYPE": "wrongtype"}
"""Answers without a class in redis-py; they are `ResponseError` that begin with these words."""

REASONS = frozenset({label for _, label in _REASONS} | set(_CODES.values()) | {"other"})
"""All labels of `StateUnavailable` that a client's errors cause."""


def open_client(url: str, *, timeout_s: float, connections: int) -> Redis:
    """Return a client of *url*, see `url`; connects on first use, *connections* for each server.

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


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn every error of the client into `StateUnavailable` with a reason from a closed set."""
    try:
        yield
    except (
        TimeoutError,
        OSError,
        EOFError,
        exceptions.RedisError,
        exceptions.RedisClusterException,
        exceptions.ChildDeadlockedError,
        exceptions.IncorrectPolicyType,
    ) as error:
        raise StateUnavailable(_name_reason(error)) from error
    except RuntimeError as error:
        # uvloop raises this for a connection that the server closed just before a write.
        if "handler is closed" not in str(error):
            raise
        raise StateUnavailable("connection") from error


def _name_reason(error: BaseException) -> str:
    # redis-py wraps errors while connecting; the reason is below.
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    for cause in causes:
        code = str(cause).partition(" ")[0]
        if isinstance(cause, exceptions.ResponseError) and code in _CODES:
            return _CODES[code]
    fits = (label for kind, label in _REASONS if any(isinstance(cause, kind) for cause in causes))
    return next(fits, "other")
