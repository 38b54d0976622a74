"""Let the scripts of a process share one connection to a server: sent as they come, answered in their order.

Failure behaviour: closed. A command is sent once and ends within a fixed time; no caller gets another's answer.
If a command gets no answer in time, later ones take a new connection; those behind it keep their own time.
A lost connection fails all that are under way on it. At most a fixed number is under way; more wait unsent.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis
from redis import exceptions
from redis.asyncio.connection import DefaultParser

from service.adapters.redis.client.connections import MALFORMED, CancellableSends

PLACES = 64
"""Most commands under way on a connection, if it is not said otherwise."""

READ_S = 0.01
"""Time in which a busy loop reads what came before it noticed that a command was late."""
_BUSY_S = 0.02
"""A time-out that comes so late tells of this process, and not of the server."""
_INCOMPLETE = object()


class ProcessBusy(exceptions.TimeoutError):
    """A time was over, but this process noticed late: a burst keeps the loop from its sockets, and an answer may be there."""


def out_of_time(
    until_s: float, why: str, kind: type[exceptions.RedisError] = exceptions.TimeoutError
) -> exceptions.RedisError:
    """Return the error of a time that was over at *until_s*, of *kind* unless this process is at fault."""
    late_s = asyncio.get_running_loop().time() - until_s
    return (ProcessBusy if late_s >= _BUSY_S else kind)(why)


class _Command:
    """A command that was sent: the caller's *future*, and the time until which it waits for an answer."""

    __slots__ = ("future", "is_late", "until_s")

    def __init__(self, future: asyncio.Future[Any], until_s: float) -> None:
        self.future = future
        self.until_s = until_s
        self.is_late = False


class Line(asyncio.Protocol):
    """One connection that redis-py has opened; *release* is called as each command ends.

    The server answers in the order of the commands, so a command that nobody awaits any more keeps its place.
    """

    def __init__(self, connection: CancellableSends, release: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._release = release
        self._reader = hiredis.Reader(
            protocolError=exceptions.InvalidResponse,
            replyError=DefaultParser.parse_error,
            notEnoughData=_INCOMPLETE,
        )
        self._commands: deque[_Command] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at_s = 0.0
        self._is_retired = False
        self.ended = self._loop.create_future()
        """Done once the connection is closed."""
        self._transport = connection.hand_over(self)

    @property
    def is_open(self) -> bool:
        """Tell if it takes commands."""
        return not (self._is_retired or self._transport.is_closing())

    def send(self, packed: bytes, until_s: float) -> asyncio.Future[Any]:
        """Send a command; returns its answer, which is an error of redis-py or comes by *until_s*."""
        command = _Command(self._loop.create_future(), until_s)
        self._commands.append(command)
        self._transport.write(packed)
        if self._timer is None or until_s < self._looks_at_s:
            self._look_at(until_s)
        return command.future

    def retire(self) -> None:
        """Take no more commands, and close once those under way have ended."""
        self._is_retired = True
        if all(command.is_late for command in self._commands):
            self._transport.abort()

    def close(self) -> None:
        """Close at once."""
        self._is_retired = True
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Give each answer to the caller whose turn it is."""
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not _INCOMPLETE:
                if not isinstance(answer, hiredis.PushNotification):
                    self._end_next(answer)
        except (exceptions.InvalidResponse, IndexError):
            # Broken, or an answer that nobody asked for: all that follow would go to the wrong callers.
            self._fail_all(exceptions.InvalidResponse, "the answer is not Redis protocol")
            self.close()
            return
        if self._is_retired:
            self.retire()

    def connection_lost(self, error: Exception | None) -> None:
        """Fail all that are under way."""
        self._fail_all(exceptions.ConnectionError, "the connection was lost")
        self._connection.drop()
        self.ended.set_result(None)

    def _end_next(self, answer: Any) -> None:
        command = self._commands.popleft()
        if not command.is_late:
            self._release()
        future = command.future
        if future.done():
            return
        if isinstance(answer, exceptions.RedisError):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def _fail_all(self, kind: type[exceptions.RedisError], why: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        while self._commands:
            self._end_next(kind(why))

    def _look_at(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._looks_at_s = at_s
        self._timer = self._loop.call_at(at_s, self._look)

    def _look(self) -> None:
        """Find commands that are out of time; their answers may have come while the loop was busy."""
        now_s = self._loop.time()
        if any(command.until_s <= now_s and not command.is_late for command in self._commands):
            self._timer = self._loop.call_later(READ_S, self._expire, now_s)
        else:
            self._look_again()

    def _expire(self, now_s: float) -> None:
        for command in self._commands:
            if command.until_s <= now_s and not command.is_late:
                command.is_late = True
                self._release()
                error = out_of_time(command.until_s + READ_S, "no answer in time")
                # A process that was busy knows nothing of the server.
                self._is_retired |= not isinstance(error, ProcessBusy)
                if not command.future.done():
                    command.future.set_exception(error)
        self._look_again()
        if self._is_retired:
            self.retire()

    def _look_again(self) -> None:
        self._timer = None
        waiting = [command.until_s for command in self._commands if not command.is_late]
        if waiting:
            self._look_at(min(waiting))


class Lines:
    """The line to one server: opened when wanted first, and again after each end. At most *places* commands are under way.

    *connect* makes a connection that is not open yet.
    """

    def __init__(self, connect: Callable[[], CancellableSends], *, timeout_s: float, places: int) -> None:
        self._connect = connect
        self._timeout_s = timeout_s
        self._places = asyncio.Semaphore(places)
        self._opening = asyncio.Lock()
        self._line: Line | None = None
        self._living: set[Line] = set()

    async def send(self, args: tuple[Any, ...], until_s: float) -> Any:
        """Send a command once, and return its answer, by *until_s*; raises errors of redis-py.

        It waits for a place until half of its time is left, and for a connection until a quarter is.

        Raises:
            MaxConnectionsError: it got no place in time, and was not sent.
            ProcessBusy: one of these times was over long before this process noticed.
        """
        packed = hiredis.pack_command(args)
        quarter_s = (until_s - asyncio.get_running_loop().time()) / 4
        if self._places.locked():
            await self._wait_for_place(until_s - 2 * quarter_s)
        else:
            await self._places.acquire()
        try:
            line = self._line
            if line is None or not line.is_open:
                line = await self._open(until_s - quarter_s)
        except BaseException:
            self._places.release()
            raise
        return await line.send(packed, min(until_s, asyncio.get_running_loop().time() + self._timeout_s))

    def retire(self) -> None:
        """Let later commands take a new connection."""
        if self._line is not None:
            self._line.retire()

    async def aclose(self) -> None:
        """Close the connection; what is under way fails."""
        for line in tuple(self._living):
            line.close()
            await line.ended

    async def _wait_for_place(self, until_s: float) -> None:
        try:
            async with asyncio.timeout_at(until_s):
                await self._places.acquire()
        except TimeoutError:
            why = "too many commands are under way"
            raise out_of_time(until_s, why, exceptions.MaxConnectionsError) from None

    async def _open(self, until_s: float) -> Line:
        """Return an open line; one caller opens it, in its own time."""
        try:
            async with asyncio.timeout_at(until_s), self._opening:
                if self._line is None or not self._line.is_open:
                    self._line = await self._open_another()
                return self._line
        except (TimeoutError, exceptions.TimeoutError):
            raise out_of_time(until_s, "no connection in time") from None

    async def _open_another(self) -> Line:
        connection = self._connect()
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py's own
        except MALFORMED as error:
            connection.drop()
            raise exceptions.InvalidResponse("the answer is not Redis protocol") from error
        except BaseException:
            connection.drop()
            raise
        line = Line(connection, self._places.release)
        self._living.add(line)
        line.ended.add_done_callback(lambda _: self._living.discard(line))
        return line
