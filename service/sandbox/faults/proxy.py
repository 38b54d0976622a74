"""Break TCP connections on command, as a proxy in front of any server: the sandbox, Redis, a store.

Owns the listening socket and, through `connections`, every connection; leaves no task and no socket behind. Works
on bytes and knows no protocol. It uses bare sockets, because streams read ahead and cannot send a reset.
"""

import asyncio
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from service.sandbox.faults.connections import ProxiedConnection, Target, cut_off
from service.sandbox.faults.modes import DropReply, HangAfterAccept, Mode, PassThrough, RefuseConnections

_BACKLOG = 1024


class FaultProxy:
    """Forwards to *target*, a `(host, port)` or the path of a unix socket; listens once entered.

    `set` takes effect at once, also for existing connections and for answers in transit.
    """

    def __init__(self, target: tuple[str, int] | Path, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._asked_target = target
        self._host = host
        self._port = port
        self._mode: Mode = PassThrough()
        self._times_left: int | None = None
        self._exchanges = 0
        self._version = 0
        self._listener: socket.socket | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._target = await Target.resolve(self._asked_target)
        # Bound but never listening: reserves the port while connections are refused.
        self._reservation = self._bind(self._port)
        self._port = int(self._reservation.getsockname()[1])
        self._connections = asyncio.TaskGroup()
        await self._connections.__aenter__()
        self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_listening()
        self._reservation.close()
        for task in self._running:
            task.cancel()
        # Without the caller's own exception, which the group would only wrap in another.
        await self._connections.__aexit__(None, None, None)

    @property
    def port(self) -> int:
        return self._port

    @property
    def mode(self) -> Mode:
        return self._mode

    @property
    def times_left(self) -> int | None:
        return self._times_left

    @property
    def version(self) -> int:
        """The number of calls of `set`."""
        return self._version

    def set(self, mode: Mode, *, times: int | None = None) -> None:
        """Change the mode; after *times* exchanges it falls back to `PassThrough` (None: never).

        Raises:
            ValueError: *times* is below 1, or the mode cannot be counted.
        """
        if times is not None and (times < 1 or isinstance(mode, RefuseConnections)):
            raise ValueError("times must be at least 1, and absent for refuse_connections")
        self._mode, self._times_left, self._exchanges = mode, times, 0
        self._version += 1
        self._changed.set()
        self._changed = asyncio.Event()
        if not isinstance(mode, RefuseConnections):
            self._listen()
            return
        self._stop_listening()
        for task in self._running:
            task.cancel()

    def rule(self) -> Mode:
        """Return the mode for one more exchange, and count it; for connections only."""
        mode = self._mode
        if isinstance(mode, DropReply):
            self._exchanges += 1
            if self._exchanges % mode.nth:
                return PassThrough()
        if self._times_left is not None:
            self._times_left -= 1
            if self._times_left == 0:
                self._mode, self._times_left = PassThrough(), None
        return mode

    async def wait_for_change(self) -> None:
        await self._changed.wait()

    def _listen(self) -> None:
        if self._listener is None:
            self._listener = self._bind(self._port)
            self._listener.listen(_BACKLOG)
            self._loop.add_reader(self._listener.fileno(), self._accept, self._listener)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None

    def _bind(self, port: int) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Connections from before a pause may still be closing on this port.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((self._host, port))
        return bound

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # the client left before it was accepted
        client.setblocking(False)
        task = self._connections.create_task(self._serve(client))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        # A task cancelled before its first step would never close its socket.
        task.add_done_callback(lambda _: cut_off(client))

    async def _serve(self, client: socket.socket) -> None:
        while isinstance(self._mode, HangAfterAccept):
            self.rule()
            await self.wait_for_change()
        await ProxiedConnection(self, client, self._target).run()
