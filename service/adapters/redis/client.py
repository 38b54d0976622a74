"""The Redis client as this gateway wants it, and what its errors mean.

redis-py's defaults wait for minutes on a hung server and send a script again whose
answer was lost; here every command ends within a fixed time and is sent once.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from service.domain.errors import StateUnavailable

# The first class that fits names the metric label, so special ones stand before general ones.
_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (exceptions.AuthenticationError, "auth"),
    (exceptions.BusyLoadingError, "loading"),
    (exceptions.ReadOnlyError, "readonly"),
    (exceptions.OutOfMemoryError, "oom"),
    (exceptions.NoPermissionError, "no_permission"),
    (exceptions.MaxConnectionsError, "pool"),
    (exceptions.TimeoutError, "timeout"),
    (TimeoutError, "timeout"),
    (exceptions.ConnectionError, "connection"),
    (exceptions.ResponseError, "response"),
    (exceptions.RedisError, "other"),
    (OSError, "connection"),
)


def open_client(url: str, *, timeout_s: float, connections: int) -> Redis:
    """Return a client of *url* (`redis://`, `rediss://`, `unix://`); connects on first use."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        # A script may have run although its answer was lost: never blindly again.
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        client_name="image-gateway",
    )
    return Redis.from_pool(pool)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn whatever the client raises into `StateUnavailable` with a reason from a closed set."""
    try:
        yield
    except (TimeoutError, exceptions.RedisError, OSError) as error:
        # redis-py wraps what happens while connecting; the reason is below.
        causes = (error.__cause__, error.__context__, error)
        reason = next(label for kind, label in _REASONS if any(isinstance(cause, kind) for cause in causes))
        raise StateUnavailable(reason) from error
