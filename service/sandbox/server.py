"""Run the sandbox as a process: sockets, signals, and the one line on stdout.

Opens and closes the parts of a `Sandbox`. Knows no endpoint.
"""

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import orjson
import uvicorn

from service.sandbox.app import build_app
from service.sandbox.faults.behaviour import DEVIATIONS, Behaviour
from service.sandbox.faults.conduct import Conduct
from service.sandbox.faults.proxy import FaultProxy
from service.sandbox.journal.journal import Journal
from service.sandbox.painting.studio import Studio
from service.sandbox.parts import Sandbox
from service.sandbox.rules.models import Catalogue
from service.sandbox.rules.rate_limits import Rates
from service.sandbox.wire.azure_refusals import deployment_not_found
from service.sandbox.wire.error_envelope import Refusal, unknown_model
from service.sandbox.wire.kinds import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the command line; *port* 0 means any free port, *today* None the real date.

    *deployments* are models by the name that requests use.
    """

    kind: Kind = Kind.OPENAI
    deployments: Mapping[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int = 0
    journal_file: Path | None = None
    latency_s: float = 0
    today: date | None = None
    legacy_dalle: bool = False
    fault_proxy: bool = False
    exit_with_parent: bool = False
    first_serial: int = 1
    threads: int = 2
    has_controls: bool = True


class CannotListen(Exception):
    """The address is in use, or not available to this process."""


def run(options: Options) -> None:
    """Serve until SIGTERM, SIGINT or, if asked, the end of stdin; raises `CannotListen` and `UnknownModel`."""
    with _bind(options.host, options.port) as listener:
        asyncio.run(_serve(options, listener))


async def _serve(options: Options, listener: socket.socket) -> None:
    async with AsyncExitStack() as stack:
        port = listener.getsockname()[1]
        proxy = None
        if options.fault_proxy:
            proxy = await stack.enter_async_context(FaultProxy((options.host, port), host=options.host))
        sandbox = _furnish(options, proxy)
        stack.callback(sandbox.studio.close)
        stack.callback(sandbox.journal.close)
        # Requests that the shutdown cut short are cancelled by then, but still write their entries.
        stack.push_async_callback(sandbox.journal.settle, 1.0)
        fault_url = f"http://{options.host}:{proxy.port}" if proxy else None
        line = {"event": "listening", "url": f"http://{options.host}:{port}", "fault_url": fault_url}
        config = uvicorn.Config(
            build_app(sandbox, has_controls=options.has_controls),
            http="httptools",
            lifespan="off",
            ws="none",
            access_log=False,
            log_config=None,
            log_level="critical",
            server_header=False,
            timeout_graceful_shutdown=0,
        )
        server = _Server(config, lambda: _print_line(line))
        _stop_on_request(server, exit_with_parent=options.exit_with_parent)
        await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    """A uvicorn server that announces when it accepts, and does not handle signals."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._announce()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        # Uvicorn's own version raises the signal again at the end, which would end the process before its clean-up.
        yield


def _bind(host: str, port: int) -> socket.socket:
    # asyncio turns Nagle's algorithm off only for sockets with a protocol number; otherwise each answer takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise CannotListen(f"cannot listen on {host} port {port}: {error.strerror}") from error
    return listener


def _furnish(options: Options, proxy: FaultProxy | None) -> Sandbox:
    deviations = DEVIATIONS if options.kind is Kind.COMPATIBLE else {}
    return Sandbox(
        kind=options.kind,
        catalogue=Catalogue(
            today=options.today,
            legacy_dalle=options.legacy_dalle,
            deployments=options.deployments,
            refuse_unknown=_refuse_deployment if options.kind is Kind.AZURE else unknown_model,
        ),
        conduct=Conduct(Behaviour(latency_s=options.latency_s, **deviations)),
        journal=Journal(options.journal_file),
        rates=Rates(),
        studio=Studio(threads=options.threads, first_serial=options.first_serial),
        proxy=proxy,
    )


def _refuse_deployment(_: str) -> Refusal:
    return deployment_not_found()


def _print_line(line: dict[str, str | None]) -> None:
    sys.stdout.buffer.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.flush()


def _stop_on_request(server: uvicorn.Server, *, exit_with_parent: bool) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if exit_with_parent:
        # A thread, because an event loop cannot watch every kind of stdin (a file, /dev/null); a daemon, because
        # it may wait forever.
        threading.Thread(target=_wait_for_end_of_stdin, args=(loop, stop), daemon=True).start()


def _wait_for_end_of_stdin(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(stop)
