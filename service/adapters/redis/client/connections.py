"""Make connections to Redis cancellable at any moment.

redis-py sends within `asyncio.wait_for`. Up to Python 3.11 that swallows a cancellation that arrives as the send
ends (python/cpython#81839): a background loop then never stops, and a deadline has no effect.
"""

import asyncio
from collections.abc import Iterable

from redis import exceptions
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection

MALFORMED = (AttributeError, LookupError, TypeError, ValueError)
"""What redis-py raises as it parses the answers of a server that does not speak Redis: it does not check them."""


class CancellableSends(AbstractConnection):
    """Sends within `asyncio.timeout` instead; a connection has one send at a time."""

    def hand_over(self, protocol: asyncio.Protocol) -> asyncio.WriteTransport:
        """Let *protocol* read what comes, instead of redis-py; returns the transport of the open connection."""
        if self._writer is None:
            raise exceptions.ConnectionError("the connection was closed")
        transport = self._writer.transport
        transport.set_protocol(protocol)
        return transport

    def drop(self) -> None:
        """Close the connection at once, if it is open."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._close()  # type: ignore[no-untyped-call]  # redis-py's own

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        """Send like redis-py; raises its `TimeoutError` after `socket_timeout`."""
        timeout_s, self.socket_timeout = self.socket_timeout, None
        try:
            async with asyncio.timeout(timeout_s):
                await super().send_packed_command(command, check_health)
        except TimeoutError:
            raise exceptions.TimeoutError("Timeout writing to socket") from None
        except RuntimeError as error:
            # uvloop raises this if the server closed the connection just before a write.
            if "handler is closed" not in str(error):
                raise
            raise exceptions.ConnectionError("the connection was closed") from error
        finally:
            self.socket_timeout = timeout_s


class PlainConnection(CancellableSends, Connection):
    """Over TCP."""


class TlsConnection(CancellableSends, SSLConnection):
    """Over TLS."""


class SocketConnection(CancellableSends, UnixDomainSocketConnection):
    """Over a unix socket."""


CANCELLABLE: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: PlainConnection,
    SSLConnection: TlsConnection,
    UnixDomainSocketConnection: SocketConnection,
}
"""The gateway's connections by those of redis-py."""
