"""Open the shared state for a command that does not serve.

Failure behaviour: closed. A running Valkey that does not answer is an error; no second one
is started.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from service.serve.children import START_S
from service.serve.directory import LOCK_PAUSE_S, lock, open_lock, prepare_directory, secrets_of
from service.serve.valkey import answers, embedded_valkey, socket_path
from service.settings.problems import SettingsError
from service.settings.variables import Settings
from service.wiring.process import BackingServices


@asynccontextmanager
async def open_state(settings: Settings) -> AsyncIterator[BackingServices]:
    """Open the shared state; yields its URL and the secrets.

    Without `GATEWAY_REDIS_URL`, this is the embedded Valkey of the gateway that uses the data
    directory, or a temporary one.

    Raises:
        SettingsError: the data directory is unusable, or locked while its Valkey does not answer.
        ChildFailed: the embedded Valkey does not start.
    """
    prepare_directory(settings.data_dir)
    secrets = secrets_of(settings)
    async with AsyncExitStack() as stack:
        if settings.redis_url is not None:
            redis_url = settings.redis_url.get_secret_value()
        else:
            redis_url = await _find_valkey(settings.data_dir, stack)
        yield BackingServices(redis_url=redis_url, sandbox_url=None, public_url="", secrets=secrets)


async def _find_valkey(data_dir: Path, stack: AsyncExitStack) -> str:
    """Return the URL of the embedded Valkey of *data_dir*; starts one if no gateway runs."""
    path = socket_path(data_dir / "valkey")
    gateway = stack.enter_context(open_lock(data_dir, "lock"))
    turn = stack.enter_context(open_lock(data_dir, "turn"))
    try:
        async with asyncio.timeout(START_S):
            # Only one command at a time may start a Valkey: another would use it while it stops.
            while not lock(turn):  # noqa: ASYNC110 - another process sends no event
                await asyncio.sleep(LOCK_PAUSE_S)
            while not lock(gateway):
                if await answers(path):
                    turn.close()
                    return f"unix://{path}"
                await asyncio.sleep(LOCK_PAUSE_S)
    except TimeoutError as error:
        raise SettingsError(
            f"GATEWAY_DATA_DIR {data_dir} is in use, and its Valkey does not answer. Try again, or set GATEWAY_REDIS_URL "
            "to the Redis of the gateway"
        ) from error
    return await stack.enter_async_context(embedded_valkey(data_dir / "valkey"))
