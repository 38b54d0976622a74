"""Run a server that greets like Redis, and answers a script only when a test says so."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import hiredis

PATIENCE_S = 20.0
_GREETINGS = {b"HELLO": b"+OK\r\n", b"CLIENT": b"+OK\r\n", b"PING": b"+PONG\r\n"}


@dataclass(slots=True)
class Held:
    """One connection: its commands without an answer, by their last argument, which is the answer."""

    writer: asyncio.StreamWriter
    waiting: deque[bytes] = field(default_factory=deque)
    is_closed: bool = False

    def answer(self, times: int = 1) -> None:
        """Answer the oldest commands."""
        for _ in range(times):
            word = self.waiting.popleft()
            self.writer.write(b"$%d\r\n%b\r\n" % (len(word), word))

    def answer_with(self, raw: bytes) -> None:
        """Answer the oldest command with *raw* bytes."""
        self.waiting.popleft()
        self.writer.write(raw)


@dataclass(slots=True)
class HeldServer:
    """All its connections so far, oldest first, and what it received beside greetings, by its last argument."""

    greets: bool = True
    port: int = 0
    connections: list[Held] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    pings: int = 0

    @property
    def url(self) -> str:
        """What `GATEWAY_REDIS_URL` takes."""
        return f"redis://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held = Held(writer)
        self.connections.append(held)
        parser = hiredis.Reader()
        while data := await reader.read(65536):
            parser.feed(data)
            while command := parser.gets():
                greeting = _GREETINGS.get(command[0])
                self.pings += command[0] == b"PING"
                if greeting is None:
                    self.received.append(command[-1])
                    held.waiting.append(command[-1])
                elif self.greets:
                    writer.write(greeting)
        held.is_closed = True
        writer.close()


@asynccontextmanager
async def run_held(*, greets: bool = True) -> AsyncIterator[HeldServer]:
    """Run the server until the clients have gone."""
    held = HeldServer(greets)
    async with asyncio.TaskGroup() as group:

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            group.create_task(held.serve(reader, writer))

        server = await asyncio.start_server(accept, "127.0.0.1")
        held.port = int(server.sockets[0].getsockname()[1])
        yield held
        server.close()


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that happens on another connection."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110 - a socket sends no event
            await asyncio.sleep(0.001)
