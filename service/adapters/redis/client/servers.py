"""Talk to one server, with fixed time-outs and without blind retries.

redis-py's defaults wait for minutes on a hung server, send a script again if its answer is lost,
and extend time-outs to ten seconds if the server announces maintenance. Here every command ends
within a fixed time and is sent once.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from service.adapters.redis.client.connections import CANCELLABLE, MALFORMED, PlainConnection, TlsConnection
from service.adapters.redis.client.errors import CLIENT_ERRORS, name_reason
from service.adapters.redis.client.line import Lines
from service.adapters.redis.client.round_trips import UNANSWERED, NoteRoundTrip, drop_round_trip, group_of
from service.adapters.redis.client.url import Address

Guide = Callable[[], Awaitable[Address]]
"""Returns the address for a new connection."""


class ServerPool(BlockingConnectionPool):
    """Connections with fixed time-outs, and the line that scripts share; *options* are redis-py's and take precedence."""

    def __init__(self, *, timeout_s: float, connections: int, places: int, **options: Any) -> None:
        fixed: dict[str, Any] = {
            "max_connections": connections,
            "timeout": timeout_s,
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            # A script may have run although its answer was lost.
            "retry": Retry(NoBackoff(), 0),
            "health_check_interval": 0,
            "client_name": "image-gateway",
            # It would extend the time-outs, and hands out connections that the server has closed.
            "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        }
        opened = fixed | options
        kind = opened.get("connection_class", Connection)
        super().__init__(**opened | {"connection_class": CANCELLABLE.get(kind, kind)})
        try:
            self.make_connection()  # type: ignore[no-untyped-call]  # redis-py's own
        except TypeError as error:
            # Otherwise the first command would fail as if the server were unreachable.
            raise ValueError("The Redis URL has an option that redis-py does not know.") from error
        self.line = Lines(self.make_connection, timeout_s=timeout_s, places=places)

    async def leave(self) -> None:
        """Close all connections, busy ones after their command, so that new ones find the right server."""
        self.line.retire()
        await self.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]  # redis-py's own
        await self.disconnect(inuse_connections=False)

    async def aclose(self) -> None:
        """Close all connections."""
        await self.line.aclose()
        await super().aclose()

    async def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Any:
        """Get a connection; an exhausted pool has an error of its own."""
        try:
            return await super().get_connection()  # type: ignore[no-untyped-call]  # redis-py's own
        except exceptions.ConnectionError as error:
            if isinstance(error.__cause__, TimeoutError):
                raise exceptions.MaxConnectionsError("all connections are in use") from error
            raise


class ServerClient(Redis):
    """Owns *pool*; leaves a server that became a replica, and rejects malformed answers.

    *note* takes every round trip.
    """

    def __init__(self, pool: ServerPool, note: NoteRoundTrip = drop_round_trip) -> None:
        super().__init__(connection_pool=pool)
        self.auto_close_connection_pool = True
        self._pool = pool
        self._note = note

    async def execute_command(
        self, *args: Any, script: str | None = None, until_s: float | None = None, **options: Any
    ) -> Any:
        """Send a command, once.

        If it runs the script called *script*, it has until *until_s* for its answer, and shares the line.
        """
        if script is None or until_s is None:
            with self.measured(group_of(args[0])):
                return await self._execute(args, options)
        started_s = perf_counter()
        try:
            answer = await self._pool.line.send(args, until_s)
        except CLIENT_ERRORS as error:
            self._note(script, perf_counter() - started_s, name_reason(error) not in UNANSWERED)
            if isinstance(error, exceptions.ReadOnlyError):
                await self.leave()
            raise
        self._note(script, perf_counter() - started_s, True)
        return answer

    @contextmanager
    def measured(self, operation: str) -> Iterator[None]:
        """Note the round trip of the block, from the wait for a connection to the answer, unless it is cancelled."""
        started_s = perf_counter()
        try:
            yield
        except CLIENT_ERRORS as error:
            self._note(operation, perf_counter() - started_s, name_reason(error) not in UNANSWERED)
            raise
        self._note(operation, perf_counter() - started_s, True)

    async def _execute(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        try:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # redis-py's own
        except exceptions.ReadOnlyError:
            await self.leave()
            raise
        except MALFORMED as error:
            raise exceptions.InvalidResponse("the answer is not Redis protocol") from error

    async def leave(self) -> None:
        """Let new connections find the right server."""
        await self._pool.leave()


class GuidedConnection(PlainConnection):
    """A connection that asks for its address each time it is opened."""

    def __init__(self, *, guide: Guide, **options: Any) -> None:
        super().__init__(**options)
        self._guide = guide

    async def _connect(self) -> None:
        self.host, self.port = await self._guide()
        # The guide may have closed all connections; this one is new.
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
