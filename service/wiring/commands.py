"""What a command of the command line works with: the state and nothing else.

Failure behaviour: closed. Every opener raises `SettingsError` when the secrets are not
the gateway's, and `StateUnavailable` when nobody can tell.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version

from service.adapters.prometheus import PrometheusMetrics
from service.gateway.administration import Administration
from service.gateway.purging import Purging
from service.gateway.usage import Usage
from service.settings.variables import Settings
from service.wiring.administration import make_administration, make_purging, make_usage
from service.wiring.callers import make_callers
from service.wiring.ground import Ground, Surroundings, open_ground
from service.wiring.notices import with_secrets_in_use


@asynccontextmanager
async def open_administration(
    settings: Settings, surroundings: Surroundings
) -> AsyncIterator[tuple[Administration, Usage]]:
    """Open what keys, teams, policies and usage are administered with."""
    async with _open_ground(settings, surroundings) as ground:
        yield make_administration(ground, make_callers(ground)), make_usage(ground)


@asynccontextmanager
async def open_purging(
    settings: Settings, surroundings: Surroundings
) -> AsyncIterator[tuple[Purging, Administration]]:
    """Open what `image-gateway cache` works with."""
    async with _open_ground(settings, surroundings) as ground:
        yield make_purging(ground), make_administration(ground, make_callers(ground))


@asynccontextmanager
async def _open_ground(settings: Settings, surroundings: Surroundings) -> AsyncIterator[Ground]:
    # Nobody scrapes a command; what it does is in the audit.
    telemetry = PrometheusMetrics(version=version("image-gateway"))
    async with AsyncExitStack() as stack:
        ground = open_ground(settings, surroundings, stack, telemetry=telemetry, connections=2)
        yield await with_secrets_in_use(ground)
