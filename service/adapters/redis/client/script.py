"""Run Lua scripts by their hash; a server that does not know a script gets its text.

Failure behaviour: closed. A run ends within the given time, and every failure is `StateUnavailable`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from hashlib import sha1
from importlib.resources import files
from typing import Any

from redis import exceptions
from redis.asyncio import Redis

from service.adapters.redis.client.errors import CLIENT_ERRORS, name_reason
from service.adapters.redis.client.line import ProcessBusy
from service.domain.errors import StateUnavailable

_LASTING = (
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.BusyLoadingError,
    exceptions.MaxConnectionsError,
)
"""Kinds of `ConnectionError` that another connection does not cure."""

_SUM = 2.0
"""A command has its time-out; all that a run sends, and its wait for a place, have this times as much together."""
_BUSY_TRIES = 2
"""Further runs for a process that was too busy to read its answers."""


def read_script(*names: str) -> str:
    """Return the text of the scripts *names*, one after the other."""
    directory = files("service.adapters.redis") / "scripts"
    return "\n".join((directory / f"{name}.lua").read_text("utf-8") for name in names)


class Script:
    """Runs *text* over *client*, possibly several times, so the script must mark its work as done.

    In a cluster all its keys must share a slot. Metrics show its *name*.
    """

    def __init__(self, client: Redis, text: str, *, timeout_s: float, name: str = "script") -> None:
        # Typed here, because redis-py does not.
        self._send: Callable[..., Awaitable[Any]] = client.execute_command
        self._text = text
        self._name = name
        self._time_s = timeout_s * _SUM
        self._hash = sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, names: Sequence[str], *arguments: bytes | str | float) -> Any:
        """Run the script with *names* as KEYS and *arguments* as ARGV.

        Raises:
            StateUnavailable: there is no clear answer; the script may have run.
        """
        rest = (len(names), *names, *arguments)
        try:
            for _ in range(_BUSY_TRIES):
                with suppress(ProcessBusy):
                    return await self._run_in_time(rest)
            return await self._run_in_time(rest)
        except CLIENT_ERRORS as error:
            raise StateUnavailable(name_reason(error)) from error

    async def _run_in_time(self, rest: tuple[Any, ...]) -> Any:
        until_s = asyncio.get_running_loop().time() + self._time_s
        try:
            return await self._run(rest, until_s)
        except (exceptions.ConnectionError, exceptions.ReadOnlyError) as error:
            if isinstance(error, _LASTING):
                raise
        # Most likely closed while idle, or obsolete after a failover.
        return await self._run(rest, until_s)

    async def _run(self, rest: tuple[Any, ...], until_s: float) -> Any:
        try:
            return await self._send("EVALSHA", self._hash, *rest, script=self._name, until_s=until_s)
        except exceptions.NoScriptError:
            pass
        return await self._send("EVAL", self._text, *rest, script=self._name, until_s=until_s)
