"""Run the HTTP server: bind its address, drain it, stop it.

The first signal drains, the second cuts off, and answers still leave before it ends.
Failure behaviour: an unavailable address is reported before anything is started.
"""

import asyncio
import logging
import math
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from service.gateway.order.runner import OrderRunner
from service.http.protocol import GatewayHttpProtocol
from service.serve.children import ChildFailed
from service.settings.problems import SettingsError
from service.settings.variables import Settings

_FAREWELL_S = 2


def make_server(app: FastAPI, settings: Settings, on_started: Callable[[], None]) -> uvicorn.Server:
    """Return a server for *app*; *on_started* is called once it accepts."""
    config = uvicorn.Config(
        app,
        http=GatewayHttpProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        # *on_started* reports the address, before anything else: see `startup`.
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        # Orders are cut off after the drain time; their answers still have to leave.
        timeout_graceful_shutdown=math.ceil(settings.drain_s) + _FAREWELL_S,
    )
    return _Server(config, app, on_started)


def bound_socket(settings: Settings) -> socket.socket:
    """Return a socket bound to the configured address; raises `SettingsError`."""
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


class _Server(uvicorn.Server):
    """uvicorn's server, reporting when it accepts."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._app = app
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does; raises `ChildFailed` where it would end this process."""
        try:
            await super().startup(sockets)
        except SystemExit as error:
            raise ChildFailed("The server did not start; see its messages above.") from error
        self._on_started()
        # From here on its lines are news: that it stops, and the connections it waits for.
        logging.getLogger("uvicorn.error").setLevel(logging.NOTSET)

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
            # It stops already; the children that stop after it must not be cut off.
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, lambda: None)

    def _stop(self) -> None:
        runner: OrderRunner | None = getattr(self._app.state, "runner", None)
        if not self.should_exit:
            # Before a runner exists, services that are opening are closed again as soon as they are open.
            self.should_exit = True
            if runner is not None:
                runner.begin_drain()
        elif runner is None:
            self.force_exit = True
        else:
            # Orders that are cut off still answer; then nothing is waited for.
            runner.cut_off()
            asyncio.get_running_loop().call_later(_FAREWELL_S / 2, self._force)

    def _force(self) -> None:
        self.force_exit = True
