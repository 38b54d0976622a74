"""Run the HTTP server: bind its address, drain it, stop it.

The first signal turns the gateway unready, then drains it; the second cuts orders off, and their answers
are still sent. Either way the application closes, and settles, before its children stop.
Failure behaviour: an unavailable address is reported before any child starts.
"""

import asyncio
import logging
import math
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

import uvicorn
from fastapi import FastAPI

from service.gateway.order.runner import OrderRunner
from service.http.connections import ConnectionBound
from service.http.protocol import GatewayHttpProtocol
from service.serve.children import ChildFailed
from service.serve.open_files import most_connections
from service.settings.problems import SettingsError
from service.settings.variables import Settings

_LAST_ANSWERS_S = 2


def make_server(app: FastAPI, settings: Settings, on_started: Callable[[], None]) -> uvicorn.Server:
    """Return a server for *app*; it calls *on_started* once it accepts connections."""
    bound = ConnectionBound(most_connections(settings.most_calls))
    config = uvicorn.Config(
        app,
        # A class in uvicorn's types; it only calls it.
        http=cast("type[GatewayHttpProtocol]", partial(GatewayHttpProtocol, bound=bound)),
        ws="none",
        lifespan="on",
        log_config=None,
        # *on_started* reports the address first; see `startup`.
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        # A pipelined request would inherit the trace of the one before it.
        reset_contextvars=True,
        timeout_keep_alive=75,
        # Orders are cut off after the drain time; their answers are still sent.
        timeout_graceful_shutdown=math.ceil(settings.drain_s) + _LAST_ANSWERS_S,
    )
    return _Server(config, app, on_started, lame_duck_s=settings.lame_duck_s)


def bound_sockets(settings: Settings) -> list[socket.socket]:
    """Return sockets bound to the configured addresses, that of metrics last; raises `SettingsError`."""
    bound = [_bind("GATEWAY", settings.host, settings.port)]
    if settings.metrics_port is not None:
        try:
            host = settings.metrics_host or settings.host
            bound.append(_bind("GATEWAY_METRICS", host, settings.metrics_port))
        except SettingsError:
            bound[0].close()
            raise
    return bound


def _bind(variables: str, host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio disables Nagle's algorithm only if the protocol is given.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"{variables}_HOST {host}, {variables}_PORT {port}: {error.strerror}. "
            "Stop the program that listens there, or choose another port"
        ) from error
    return listener


class _Server(uvicorn.Server):
    """uvicorn's server, with a callback at its start and two-step signals."""

    def __init__(
        self, config: uvicorn.Config, app: FastAPI, on_started: Callable[[], None], *, lame_duck_s: float
    ) -> None:
        super().__init__(config)
        self._app = app
        self._on_started = on_started
        self._lame_duck_s = lame_duck_s
        self._is_ending = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start like uvicorn; raises `ChildFailed` instead of ending the process."""
        try:
            await super().startup(sockets)
        except SystemExit as error:
            raise ChildFailed("The server did not start; see its messages above.") from error
        self._on_started()
        # Its later lines are useful: that it stops, and the connections it waits for.
        logging.getLogger("uvicorn.error").setLevel(logging.NOTSET)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on the first signal, at once on the second.

        uvicorn's own raises the signal again at its end, which would end this process with a
        failure before its children are stopped.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            # The server has stopped: a signal must not disturb the children that stop after it.
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, lambda: None)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down like uvicorn; close the application also if that is forced, to settle what was cut off."""
        await super().shutdown(sockets)
        if self.force_exit:
            await self.lifespan.shutdown()

    def _stop(self) -> None:
        loop = asyncio.get_running_loop()
        runner: OrderRunner | None = getattr(self._app.state, "runner", None)
        if runner is None:
            # uvicorn closes the services as soon as they are open.
            self.should_exit = True
        elif not self._is_ending:
            runner.announce_end()
            loop.call_later(self._lame_duck_s, self._drain, runner)
        else:
            # Orders that are cut off still answer; then all connections are closed.
            self._drain(runner)
            runner.cut_off()
            loop.call_later(_LAST_ANSWERS_S / 2, self._force)
        self._is_ending = True

    def _drain(self, runner: OrderRunner) -> None:
        self.should_exit = True
        runner.begin_drain()

    def _force(self) -> None:
        self.force_exit = True
