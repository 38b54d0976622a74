"""Run Lua scripts by their hash; a server that does not know a script gets its text.

Failure behaviour: closed. A run ends within the given time, and every failure is `StateUnavailable`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Any

from redis import exceptions
from redis.asyncio import Redis

from service.adapters.redis.client.errors import CLIENT_ERRORS, name_reason
from service.domain.errors import StateUnavailable

_LASTING = (
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.BusyLoadingError,
    exceptions.MaxConnectionsError,
)
"""Kinds of `ConnectionError` that another connection does not cure."""

_STARVED_S = 0.02
_STARVED_TRIES = 2
"""A burst of requests may keep the event loop from reading answers that arrived long ago."""


def read_script(*names: str) -> str:
    """Return the text of the scripts *names*, one after the other."""
    directory = files("service.adapters.redis") / "scripts"
    return "\n".join((directory / f"{name}.lua").read_text("utf-8") for name in names)


class Script:
    """Runs *text* over *client*, possibly twice, so the script must mark its work as done.

    In a cluster all its keys must share a slot. Metrics show its *name*.
    """

    def __init__(self, client: Redis, text: str, *, timeout_s: float, name: str | None = None) -> None:
        # Typed here, because redis-py does not.
        self._send: Callable[..., Awaitable[Any]] = client.execute_command
        self._text = text
        self._name = name
        self._timeout_s = timeout_s
        self._hash = sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, names: Sequence[str], *arguments: bytes | str | float) -> Any:
        """Run the script with *names* as KEYS and *arguments* as ARGV.

        Raises:
            StateUnavailable: there is no clear answer; the script may have run.
        """
        try:
            for _ in range(_STARVED_TRIES):
                started_s = asyncio.get_running_loop().time()
                try:
                    return await self._run_in_time(names, arguments)
                except (TimeoutError, exceptions.TimeoutError):
                    late_s = asyncio.get_running_loop().time() - started_s - self._timeout_s * 1.2
                    if late_s < _STARVED_S:
                        raise
                    # The time-out itself came late: this process was too busy to read the answer.
            return await self._run_in_time(names, arguments)
        except CLIENT_ERRORS as error:
            raise StateUnavailable(name_reason(error)) from error

    async def _run_in_time(self, names: Sequence[str], arguments: Sequence[bytes | str | float]) -> Any:
        # The client's own time-outs bound each step; this bounds their sum.
        async with asyncio.timeout(self._timeout_s * 1.2):
            try:
                return await self._run(names, arguments)
            except (exceptions.ConnectionError, exceptions.ReadOnlyError) as error:
                if isinstance(error, _LASTING):
                    raise
            # Most likely closed while idle, or obsolete after a failover.
            return await self._run(names, arguments)

    async def _run(self, names: Sequence[str], arguments: Sequence[bytes | str | float]) -> Any:
        rest = (len(names), *names, *arguments)
        try:
            return await self._send("EVALSHA", self._hash, *rest, script=self._name)
        except exceptions.NoScriptError:
            pass
        return await self._send("EVAL", self._text, *rest, script=self._name)
