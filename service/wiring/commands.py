"""Open the shared state for commands, and nothing else.

Failure behaviour: closed. Every opener raises `SettingsError` when the secrets are not
the gateway's, and `StateUnavailable` when that is unknown.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from service.gateway.accounts.administration import Administration
from service.gateway.accounts.usage import Usage
from service.gateway.images.purge import Purging
from service.ports.telemetry import TelemetryFact
from service.settings.variables import Settings
from service.wiring.accounts import make_callers
from service.wiring.administration import make_administration, make_purging, make_usage
from service.wiring.notices import with_secrets_in_use
from service.wiring.process import BackingServices, ProcessContext, open_context


@asynccontextmanager
async def open_administration(
    settings: Settings, backing: BackingServices, *, models: frozenset[str] = frozenset()
) -> AsyncIterator[tuple[Administration, Usage]]:
    """Open the administration of keys, teams, policies and usage; only a policy names *models*."""
    async with _open_ground(settings, backing) as context:
        yield make_administration(context, make_callers(context), models=models), make_usage(context)


@asynccontextmanager
async def open_purging(
    settings: Settings, backing: BackingServices
) -> AsyncIterator[tuple[Purging, Administration]]:
    """Open the purging for `image-gateway cache`."""
    async with _open_ground(settings, backing) as context:
        administration = make_administration(context, make_callers(context), models=frozenset())
        yield make_purging(context), administration


@asynccontextmanager
async def _open_ground(settings: Settings, backing: BackingServices) -> AsyncIterator[ProcessContext]:
    async with AsyncExitStack() as stack:
        context = open_context(settings, backing, stack, telemetry=_Unmeasured(), connections=2)
        yield await with_secrets_in_use(context)


class _Unmeasured:
    """Implements `ports.telemetry.Telemetry`: commands are not scraped; their acts are in the audit."""

    def record(self, fact: TelemetryFact) -> None:
        """Drop the fact."""
