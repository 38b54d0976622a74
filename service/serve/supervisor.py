"""Supervise a gateway: data directory, embedded Valkey, sandbox and server.

Parts open in order and close in reverse: children stop after the orders have drained.
Failure behaviour: closed; a part that fails to open ends the start.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import uvloop

from service.app import create_app
from service.malloc import give_back_freed
from service.serve.directory import locked, prepare_directory, secrets_of
from service.serve.garbage import collect_rarely
from service.serve.greeting import write_greeting
from service.serve.interrupts import run_interruptible
from service.serve.log_level import LogLevel
from service.serve.open_files import raise_limit
from service.serve.privacy import make_private
from service.serve.sandbox import run_sandbox
from service.serve.server import bound_sockets, make_server
from service.serve.valkey import embedded_valkey
from service.settings.variables import Settings
from service.wiring.images import stored_directories
from service.wiring.neighbours import join_gateways
from service.wiring.process import BackingServices


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain; *announce* receives the greeting.

    Raises:
        SettingsError: a setting is wrong; nothing serves, and all started parts are stopped.
        ChildFailed: the server or a child did not start; all started parts are stopped.
    """
    give_back_freed()
    collect_rarely()
    raise_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        run_interruptible(runner, _serve(settings, announce))


async def _serve(settings: Settings, announce: Callable[[str], None]) -> None:
    LogLevel(settings.log_level).take_signals()
    # Errors of the settings are found before the first child starts.
    uses_sandbox = settings.uses_sandbox
    prepare_directory(settings.data_dir)
    make_private(stored_directories(settings))
    secrets = secrets_of(settings)
    async with AsyncExitStack() as stack:
        listeners = [stack.enter_context(each) for each in bound_sockets(settings)]
        redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
        if redis_url is None:
            await stack.enter_async_context(locked(settings.data_dir))
            redis_url = await stack.enter_async_context(embedded_valkey(settings.data_dir / "valkey"))
        sandbox_url = await stack.enter_async_context(run_sandbox()) if uses_sandbox else None
        port, *metrics_ports = [each.getsockname()[1] for each in listeners]
        backing = BackingServices(
            redis_url=redis_url,
            sandbox_url=sandbox_url,
            public_url=settings.public_url or _local_url(settings.host, port),
            secrets=secrets,
            metrics_port=metrics_ports[0] if metrics_ports else None,
        )
        await join_gateways(settings, backing)
        app = create_app(settings, backing)
        server = make_server(app, settings, lambda: announce(write_greeting(settings, backing)))
        await server.serve(sockets=listeners)


def _local_url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
