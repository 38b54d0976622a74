"""Forward one client's connection through a `FaultProxy`, and apply the current mode to it.

Owns both sockets, to the client and to the target. Does not choose the mode.
"""

import asyncio
import socket
import struct
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from service.sandbox.faults.modes import (
    Delay,
    Drip,
    DropReply,
    HangAfterAccept,
    HangAfterRequest,
    Mode,
    PassThrough,
    ResetAfterRequest,
    Truncate,
)

_PIECE_BYTES = 65_536
_DRIP_STEP_S = 0.02


class ModeSource(Protocol):
    """Chooses the mode of each exchange; see `FaultProxy`."""

    @property
    def version(self) -> int: ...
    def rule(self) -> Mode: ...
    async def wait_for_change(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Target:
    """The address to forward to, resolved."""

    family: int
    address: tuple[object, ...] | str

    @classmethod
    async def resolve(cls, target: tuple[str, int] | Path) -> Self:
        if isinstance(target, Path):
            return cls(socket.AF_UNIX, str(target))
        found = await asyncio.get_running_loop().getaddrinfo(*target, type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        return cls(family, tuple(address))

    async def dial(self) -> socket.socket:
        """Return a connected socket; raises OSError."""
        dialled = socket.socket(self.family, socket.SOCK_STREAM)
        dialled.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(dialled, self.address)
        except BaseException:
            dialled.close()
            raise
        return dialled


class _Cut(Exception):
    """Ends the connection: with a reset if *is_reset*, else with a normal close."""

    def __init__(self, *, is_reset: bool) -> None:
        super().__init__()
        self.is_reset = is_reset


class ProxiedConnection:
    """Takes over the client's socket and closes it at the end of `run`."""

    def __init__(self, modes: ModeSource, client: socket.socket, target: Target) -> None:
        self._modes = modes
        self._client = client
        self._target_address = target
        self._loop = asyncio.get_running_loop()
        self._mode: Mode = PassThrough()
        self._mode_version: int | None = None  # None: the next exchange has no mode yet
        self._answer_bytes = 0
        self._is_request_begun = False
        self._is_hung = False

    async def run(self) -> None:
        try:
            target = await self._target_address.dial()
        except OSError:
            cut_off(self._client)  # as if the target did not exist
            return
        with target:
            for end in (self._client, target):
                if end.family != socket.AF_UNIX:
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                async with asyncio.TaskGroup() as pumps:
                    pumps.create_task(self._pump_up(target))
                    pumps.create_task(self._pump_down(target))
            except* _Cut as cuts:
                if any(cut.is_reset for cut in cuts.exceptions if isinstance(cut, _Cut)):
                    cut_off(self._client)
        self._client.close()

    async def _pump_up(self, target: socket.socket) -> None:
        with _ending_in_reset():
            while piece := await self._loop.sock_recv(self._client, _PIECE_BYTES):
                if self._is_hung:
                    continue
                if self._answer_bytes:
                    self._start_exchange()
                mode = await self._decide()
                if isinstance(mode, Delay) and not self._is_request_begun:
                    await asyncio.sleep(mode.up_s)
                self._is_request_begun = True
                await self._loop.sock_sendall(target, piece)
            target.shutdown(socket.SHUT_WR)

    async def _pump_down(self, target: socket.socket) -> None:
        with _ending_in_reset():
            while piece := await self._loop.sock_recv(target, _PIECE_BYTES):
                if self._is_hung:
                    continue
                mode = await self._decide()
                before, self._answer_bytes = self._answer_bytes, self._answer_bytes + len(piece)
                await self._answer(mode, piece, before)
            if not self._is_hung:
                raise _Cut(is_reset=False)

    async def _answer(self, mode: Mode, piece: bytes, before: int) -> None:
        match mode:
            case HangAfterRequest():
                self._is_hung = True
                return
            case DropReply():
                return
            case ResetAfterRequest():
                raise _Cut(is_reset=True)
            case Truncate(after_bytes):
                if before + len(piece) >= after_bytes:
                    await self._loop.sock_sendall(self._client, piece[: max(0, after_bytes - before)])
                    raise _Cut(is_reset=False)
            case Drip(bytes_per_s):
                await self._drip(piece, bytes_per_s)
                return
            case Delay(_, down_s) if before == 0:
                await asyncio.sleep(down_s)
            case _:
                pass
        await self._loop.sock_sendall(self._client, piece)

    async def _drip(self, piece: bytes, bytes_per_s: float) -> None:
        step = max(1, int(bytes_per_s * _DRIP_STEP_S))
        for start in range(0, len(piece), step):
            drop = piece[start : start + step]
            await asyncio.sleep(len(drop) / bytes_per_s)
            await self._loop.sock_sendall(self._client, drop)

    def _start_exchange(self) -> None:
        self._mode_version = None
        self._answer_bytes = 0
        self._is_request_begun = False

    async def _decide(self) -> Mode:
        """Return the mode of the exchange, chosen anew after each change; waits while it hangs."""
        while True:
            if self._mode_version != self._modes.version:
                self._mode_version = self._modes.version
                self._mode = self._modes.rule()
            if not isinstance(self._mode, HangAfterAccept):
                return self._mode
            await self._modes.wait_for_change()


def cut_off(connection: socket.socket) -> None:
    """Close with a reset; harmless on a closed socket."""
    if connection.fileno() != -1:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


@contextmanager
def _ending_in_reset() -> Generator[None]:
    """Pass a failure of one end on to the other end as a reset."""
    try:
        yield
    except OSError as error:
        raise _Cut(is_reset=True) from error
