"""Clients of one server each, with fixed times and no blind repeats.

redis-py's defaults wait for minutes on a hung server, send a script again whose answer was lost,
and stretch their time-outs to ten seconds when the server announces maintenance. Here every
command ends within a fixed time and is sent once.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from service.adapters.redis.client.connections import CANCELLABLE, PlainConnection, TlsConnection
from service.adapters.redis.client.url import Address

Guide = Callable[[], Awaitable[Address]]
"""Returns the address for a new connection."""


class ServerPool(BlockingConnectionPool):
    """Connections with fixed times; *options* are redis-py's and take precedence."""

    def __init__(self, *, timeout_s: float, connections: int, **options: Any) -> None:
        fixed: dict[str, Any] = {
            "max_connections": connections,
            "timeout": timeout_s,
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            # A script may have run although its answer was lost: never blindly again.
            "retry": Retry(NoBackoff(), 0),
            "health_check_interval": 0,
            "client_name": "image-gateway",
            # It would lengthen the time-outs, and hands out connections the server has closed.
            "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        }
        opened = fixed | options
        kind = opened.get("connection_class", Connection)
        super().__init__(**opened | {"connection_class": CANCELLABLE.get(kind, kind)})
        try:
            self.make_connection()  # type: ignore[no-untyped-call]  # redis-py's own
        except TypeError as error:
            # Otherwise it would show at the first command, as an unreachable server.
            raise ValueError("The Redis URL has an option that redis-py does not know.") from error

    async def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Any:
        """Get a connection; tell an empty pool from a server that does not answer."""
        try:
            return await super().get_connection()  # type: ignore[no-untyped-call]  # redis-py's own
        except exceptions.ConnectionError as error:
            if isinstance(error.__cause__, TimeoutError):
                raise exceptions.MaxConnectionsError("all connections are in use") from error
            raise


class ServerClient(Redis):
    """Owns *pool*. Leaves a server that has become a replica, and takes nonsense for an error."""

    def __init__(self, pool: ServerPool) -> None:
        super().__init__(connection_pool=pool)
        self.auto_close_connection_pool = True

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command once."""
        try:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # redis-py's own
        except exceptions.ReadOnlyError:
            await self.leave()
            raise
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            # redis-py parses answers without a check; the sender of this one speaks no Redis.
            raise exceptions.InvalidResponse("an answer that is none of Redis'") from error

    async def leave(self) -> None:
        """Close all connections, those in use after their command, so that new ones find the right server."""
        await self.connection_pool.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]  # redis-py's own
        await self.connection_pool.disconnect(inuse_connections=False)


class GuidedConnection(PlainConnection):
    """A connection that asks for its address each time it is opened."""

    def __init__(self, *, guide: Guide, **options: Any) -> None:
        super().__init__(**options)
        self._guide = guide

    async def _connect(self) -> None:
        self.host, self.port = await self._guide()
        # The guide may have told all connections to leave; this one has not connected yet.
        self.reset_should_reconnect()  # type: ignore[no-untyped-call]  # redis-py's own
        await super()._connect()  # type: ignore[no-untyped-call]  # redis-py's own


class GuidedTlsConnection(GuidedConnection, TlsConnection):
    """The same over TLS."""


def guide_connections(options: dict[str, Any], guide: Guide) -> dict[str, Any]:
    """Return *options* for connections whose addresses come from *guide*."""
    is_tls = options.get("connection_class") is SSLConnection
    return options | {
        "connection_class": GuidedTlsConnection if is_tls else GuidedConnection,
        "guide": guide,
    }
