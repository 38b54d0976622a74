"""The fault proxy, in front of a small line server and in front of the sandbox."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import uvloop

from service.sandbox.faults.modes import (
    Delay,
    Drip,
    DropReply,
    HangAfterAccept,
    HangAfterRequest,
    Mode,
    PassThrough,
    RefuseConnections,
    ResetAfterRequest,
    Truncate,
)
from service.sandbox.faults.proxy import FaultProxy
from tests.sandbox.process import SandboxHandle, run_sandbox

SHORT_S = 0.15
LONG_S = 5.0


@dataclass
class LineServer:
    """Answers each line with `=` and the line; *seen* is what reached it."""

    seen: list[bytes] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self.seen.append(line)
                self.arrived.set()
                writer.write(b"=" + line)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        self.gone.release()

    async def wait_for_line(self) -> None:
        async with asyncio.timeout(LONG_S):
            await self.arrived.wait()
        self.arrived.clear()


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, line: bytes = b"ping\n") -> bytes:
        """Send a line and return all that comes until the end of a line or of the connection."""
        await self.send(line)
        async with asyncio.timeout(LONG_S):
            return await self.reader.readline()

    async def send(self, line: bytes = b"ping\n") -> None:
        self.writer.write(line)
        await self.writer.drain()

    async def is_silent(self) -> bool:
        try:
            async with asyncio.timeout(SHORT_S):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False


@pytest.fixture
async def server() -> AsyncGenerator[LineServer]:
    lines = LineServer()
    listening = await asyncio.start_server(lines.serve, "127.0.0.1", 0)
    async with listening:
        lines.port = listening.sockets[0].getsockname()[1]
        yield lines


@pytest.fixture
async def proxy(server: LineServer) -> AsyncGenerator[FaultProxy]:
    async with FaultProxy(("localhost", server.port)) as proxy:
        yield proxy


@asynccontextmanager
async def connect(proxy: FaultProxy) -> AsyncGenerator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_passes_through(proxy: FaultProxy) -> None:
    async with connect(proxy) as client, connect(proxy) as other:
        answers = [await client.ask(b"a\n"), await other.ask(b"b\n"), await client.ask(b"c\n")]

    assert answers == [b"=a\n", b"=b\n", b"=c\n"]


async def test_passes_large_data_unharmed(proxy: FaultProxy) -> None:
    line = b"x" * 60_000 + b"\n"
    async with connect(proxy) as client:
        answers = [await client.ask(line) for _ in range(20)]

    assert set(answers) == {b"=" + line}


async def test_passes_the_end_of_a_stream_on(proxy: FaultProxy) -> None:
    async with connect(proxy) as client:
        await client.send(b"last words\n")
        client.writer.write_eof()

        async with asyncio.timeout(LONG_S):
            assert await client.reader.read() == b"=last words\n"


async def test_refuses_connections_and_cuts_those_there_are(proxy: FaultProxy) -> None:
    async with connect(proxy) as client:
        await client.ask()

        proxy.set(RefuseConnections())

        with pytest.raises(ConnectionResetError):
            await client.ask()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)


async def test_comes_back_on_the_same_port(proxy: FaultProxy) -> None:
    port = proxy.port
    for _ in range(3):
        proxy.set(RefuseConnections())
        proxy.set(PassThrough())

        async with connect(proxy) as client:
            assert await client.ask() == b"=ping\n"
    assert proxy.port == port


async def test_hangs_after_accepting_and_goes_on_when_told(proxy: FaultProxy, server: LineServer) -> None:
    proxy.set(HangAfterAccept())
    async with connect(proxy) as client:
        await client.send()
        assert await client.is_silent()
        assert server.seen == []

        proxy.set(PassThrough())

        async with asyncio.timeout(LONG_S):
            assert await client.reader.readline() == b"=ping\n"


async def test_hanging_after_accept_holds_connections_that_exist(
    proxy: FaultProxy, server: LineServer
) -> None:
    async with connect(proxy) as client:
        await client.ask(b"a\n")

        proxy.set(HangAfterAccept())

        await client.send(b"b\n")
        assert await client.is_silent()
        assert server.seen == [b"a\n"]
        proxy.set(PassThrough())
        async with asyncio.timeout(LONG_S):
            assert await client.reader.readline() == b"=b\n"


async def test_hangs_after_the_request_reached_the_target(proxy: FaultProxy, server: LineServer) -> None:
    proxy.set(HangAfterRequest(), times=1)
    async with connect(proxy) as client, connect(proxy) as other:
        await client.send()
        await server.wait_for_line()

        assert await client.is_silent()
        assert await other.ask() == b"=ping\n"
        proxy.set(PassThrough())
        await client.send()
        assert await client.is_silent()


async def test_resets_after_the_request_reached_the_target(proxy: FaultProxy, server: LineServer) -> None:
    proxy.set(ResetAfterRequest(), times=1)
    async with connect(proxy) as client:
        with pytest.raises(ConnectionResetError):
            await client.ask()

    assert server.seen == [b"ping\n"]
    async with connect(proxy) as client:
        assert await client.ask() == b"=ping\n"


async def test_drips(proxy: FaultProxy) -> None:
    proxy.set(Drip(bytes_per_s=100))
    async with connect(proxy) as client:
        started_s = time.monotonic()

        answer = await client.ask(b"x" * 18 + b"\n")

    assert answer == b"=" + b"x" * 18 + b"\n"
    assert time.monotonic() - started_s >= 0.2


@pytest.mark.parametrize(("after_bytes", "rest"), [(0, b""), (3, b"=pi"), (6, b"=ping\n")])
async def test_truncates(proxy: FaultProxy, after_bytes: int, rest: bytes) -> None:
    proxy.set(Truncate(after_bytes=after_bytes), times=1)
    async with connect(proxy) as client:
        await client.send()

        async with asyncio.timeout(LONG_S):
            assert await client.reader.read() == rest


async def test_truncates_each_answer_anew(proxy: FaultProxy) -> None:
    proxy.set(Truncate(after_bytes=8))
    async with connect(proxy) as client:
        assert await client.ask(b"a\n") == b"=a\n"
        assert await client.ask(b"b\n") == b"=b\n"
        assert await client.ask(b"longer\n") == b"=longer\n"
        assert await client.reader.read() == b""


@pytest.mark.parametrize("mode", [Delay(up_s=0.1), Delay(down_s=0.1), Delay(0.05, 0.05)])
async def test_delays(proxy: FaultProxy, mode: Delay) -> None:
    proxy.set(mode)
    async with connect(proxy) as client:
        started_s = time.monotonic()

        answers = [await client.ask(), await client.ask()]

    assert answers == [b"=ping\n", b"=ping\n"]
    assert time.monotonic() - started_s >= 0.2


async def test_drops_every_nth_reply(proxy: FaultProxy) -> None:
    proxy.set(DropReply(nth=2), times=1)
    async with connect(proxy) as client:
        assert await client.ask(b"a\n") == b"=a\n"
        await client.send(b"b\n")
        assert await client.is_silent()
        assert await client.ask(b"c\n") == b"=c\n"
        assert await client.ask(b"d\n") == b"=d\n"
    assert proxy.mode == PassThrough()


async def test_counts_exchanges_not_connections(proxy: FaultProxy) -> None:
    proxy.set(Delay(up_s=0.001), times=2)
    async with connect(proxy) as client:
        await client.ask()
        assert (proxy.mode, proxy.times_left) == (Delay(up_s=0.001), 1)
        await client.ask()
        assert (proxy.mode, proxy.times_left) == (PassThrough(), None)


async def test_a_mode_set_while_an_answer_is_on_its_way_applies_to_it(
    proxy: FaultProxy, server: LineServer
) -> None:
    proxy.set(Delay(up_s=0.1))
    async with connect(proxy) as client:
        await client.send()
        proxy.set(ResetAfterRequest())

        with pytest.raises(ConnectionResetError):
            await client.reader.readline()
    assert server.seen == [b"ping\n"]


async def test_a_target_that_is_not_there_looks_so() -> None:
    free = await asyncio.start_server(LineServer().serve, "127.0.0.1", 0)
    port = free.sockets[0].getsockname()[1]
    free.close()
    await free.wait_closed()

    async with FaultProxy(("127.0.0.1", port)) as proxy, connect(proxy) as client:
        with pytest.raises(ConnectionResetError):
            await client.ask()


async def test_forwards_to_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "lines.sock"
    listening = await asyncio.start_unix_server(LineServer().serve, path)

    async with listening, FaultProxy(path) as proxy, connect(proxy) as client:
        assert await client.ask() == b"=ping\n"


@pytest.mark.parametrize(
    "mode", [PassThrough(), HangAfterAccept(), HangAfterRequest(), RefuseConnections(), Delay(60), Drip(1)]
)
async def test_leaves_nothing_behind(server: LineServer, mode: Mode) -> None:
    sockets, tasks = count_sockets(), len(asyncio.all_tasks())

    async with AsyncExitStack() as clients, FaultProxy(("127.0.0.1", server.port)) as proxy:
        client = await clients.enter_async_context(connect(proxy))
        other = await clients.enter_async_context(connect(proxy))
        await client.ask()
        await other.ask()
        proxy.set(mode)
        if not isinstance(mode, RefuseConnections):
            await client.send(b"one more\n")
    async with asyncio.timeout(LONG_S):
        await server.gone.acquire()
        await server.gone.acquire()

    assert (count_sockets(), len(asyncio.all_tasks())) == (sockets, tasks)


@pytest.mark.parametrize(
    ("mode", "times"), [(PassThrough(), 0), (ResetAfterRequest(), -1), (RefuseConnections(), 1)]
)
async def test_refuses_counts_that_make_no_sense(proxy: FaultProxy, mode: Mode, times: int) -> None:
    with pytest.raises(ValueError, match="times"):
        proxy.set(mode, times=times)


async def test_an_error_inside_comes_out_as_it_is(server: LineServer) -> None:
    async def fail_inside() -> None:
        async with FaultProxy(("127.0.0.1", server.port)) as proxy, connect(proxy) as client:
            await client.ask()
            raise LookupError

    with pytest.raises(LookupError):
        await fail_inside()


def test_runs_on_uvloop_too() -> None:
    async def try_all() -> list[bytes | str]:
        lines, found = LineServer(), list[bytes | str]()
        listening = await asyncio.start_server(lines.serve, "127.0.0.1", 0)
        async with listening, FaultProxy(listening.sockets[0].getsockname()) as proxy:
            async with connect(proxy) as client:
                found.append(await client.ask())
            proxy.set(ResetAfterRequest(), times=1)
            async with connect(proxy) as client:
                try:
                    await client.ask()
                except ConnectionResetError:
                    found.append("reset")
            proxy.set(RefuseConnections())
            try:
                await asyncio.open_connection("127.0.0.1", proxy.port)
            except ConnectionRefusedError:
                found.append("refused")
            proxy.set(PassThrough())
            async with connect(proxy) as client:
                found.append(await client.ask())
        return found

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(try_all()) == [b"=ping\n", "reset", "refused", b"=ping\n"]


async def test_an_image_is_billed_although_the_answer_was_reset(sandbox: SandboxHandle) -> None:
    await sandbox.fault("reset_after_request", times=1)

    with pytest.raises(httpx.ReadError):
        await sandbox.generate_through_proxy()

    (entry,) = await sandbox.journal()
    assert (entry["status"], entry["billed"], len(entry["images"])) == (200, True, 1)
    assert (await sandbox.generate_through_proxy()).status_code == 200


async def test_an_image_is_billed_although_the_answer_was_swallowed(sandbox: SandboxHandle) -> None:
    await sandbox.fault("hang_after_request")

    with pytest.raises(httpx.ReadTimeout):
        await ask_through_proxy(sandbox, timeout_s=0.3)

    (entry,) = await sandbox.journal()
    assert (entry["status"], entry["billed"]) == (200, True)


@pytest.mark.parametrize(
    ("mode", "fields", "error"),
    [
        ("refuse_connections", {}, httpx.ConnectError),
        ("hang_after_accept", {}, httpx.ReadTimeout),
        ("truncate", {"after_bytes": 2000}, httpx.RemoteProtocolError),
        ("drip", {"bytes_per_s": 1}, httpx.ReadTimeout),
        ("drop_reply", {}, httpx.ReadTimeout),
    ],
)
async def test_faults_are_steered_over_http(
    sandbox: SandboxHandle, mode: str, fields: dict[str, object], error: type[Exception]
) -> None:
    await sandbox.fault(mode, **fields)

    with pytest.raises(error):
        await ask_through_proxy(sandbox, timeout_s=0.3)

    shown = (await sandbox.client.get("/sandbox/faults")).json()
    back = (await sandbox.client.delete("/sandbox/faults")).json()
    assert (shown["mode"], back) == (mode, {"mode": "pass_through", "times": None})
    assert (await ask_through_proxy(sandbox, timeout_s=LONG_S)).status_code == 200


@pytest.mark.parametrize(
    "body", [{"mode": "x"}, {"mode": "drip"}, {"mode": "delay", "times": "2"}, [], {"times": 1}]
)
async def test_steering_that_makes_no_sense_is_refused(sandbox: SandboxHandle, body: object) -> None:
    answer = await sandbox.client.put("/sandbox/faults", json=body)

    assert answer.status_code == 400
    assert (await sandbox.client.get("/sandbox/faults")).json()["mode"] == "pass_through"


async def test_without_a_proxy_there_are_no_faults() -> None:
    async with run_sandbox() as own:
        answer = await own.client.put("/sandbox/faults", json={"mode": "drip", "bytes_per_s": 1})

        with pytest.raises(LookupError):
            _ = own.fault_url
    assert answer.status_code == 409


async def ask_through_proxy(sandbox: SandboxHandle, *, timeout_s: float) -> httpx.Response:
    return await sandbox.client.post(
        f"{sandbox.fault_url}/v1/images/generations",
        json={"model": "gpt-image-2", "prompt": "a cat"},
        timeout=timeout_s,
    )


def count_sockets() -> int:
    """Count the open sockets of this process (a descriptor may go while we look)."""
    kinds = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            kinds.append(str(descriptor.readlink()))
    return sum(kind.startswith("socket:") for kind in kinds)
