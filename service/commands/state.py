"""Run a command on the shared state; failures end the command."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import typer

from service.adapters.redis.client.troubleshooting import advise
from service.commands.console import fail
from service.commands.settings import read_settings, warn_of_unknown_variables
from service.domain.errors import GatewayError, StateUnavailable
from service.gateway.accounts.administration import Administration
from service.gateway.accounts.usage import Usage
from service.serve.children import ChildFailed
from service.serve.interrupts import run_interruptible
from service.serve.state import open_state
from service.settings.problems import SettingsError
from service.settings.variables import Settings
from service.wiring.commands import open_administration
from service.wiring.process import BackingServices, check_redis_url

WHO = "command line"
"""The actor's name in the audit."""

Answer = TypeVar("Answer")
Opened = TypeVar("Opened")
Open = Callable[[Settings, BackingServices], AbstractAsyncContextManager[Opened]]


def with_state(work: Callable[[Administration, Usage], Awaitable[Answer]]) -> Answer:
    """Return the result of *work* on the administration; see `with_opened`."""
    return with_opened(open_administration, lambda opened: work(*opened))


def with_opened(open_: Open[Opened], work: Callable[[Opened], Awaitable[Answer]]) -> Answer:
    """Return the result of *work* on the services that *open_* opens.

    Failures end the command. Only the settings that a command uses are checked.
    """
    settings = read_settings()
    warn_of_unknown_variables()
    try:
        check_redis_url(settings)
        with asyncio.Runner() as runner:
            return run_interruptible(runner, _work(settings, open_, work))
    except (SettingsError, ChildFailed, GatewayError) as error:
        fail(str(error))
    except BrokenPipeError:
        # The reader has left, as `head` does: discard the rest of the buffer.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None


async def _work(
    settings: Settings, open_: Open[Opened], work: Callable[[Opened], Awaitable[Answer]]
) -> Answer:
    async with open_state(settings) as backing:
        try:
            async with open_(settings, backing) as opened:
                return await work(opened)
        except StateUnavailable as error:
            raise SettingsError(
                f"{advise(error.reason, backing.redis_url)} The command may have taken effect."
            ) from error
