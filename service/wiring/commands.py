"""Open the use cases of commands on the shared state.

Failure behaviour: closed. Opening raises `SettingsError` if the secrets are not the gateway's,
and `StateUnavailable` if that is unknown.
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
from service.wiring.process import BackingServices, ProcessContext, open_context, open_redis


@asynccontextmanager
async def open_administration(
    settings: Settings, backing: BackingServices, *, models: frozenset[str] = frozenset()
) -> AsyncIterator[tuple[Administration, Usage]]:
    """Open the administration and the ledger; *models* are those a policy may name."""
    async with _open_context(settings, backing) as context:
        yield make_administration(context, make_callers(context), models=models), make_usage(context)


@asynccontextmanager
async def open_purging(
    settings: Settings, backing: BackingServices
) -> AsyncIterator[tuple[Purging, Administration]]:
    """Open the use cases of `image-gateway cache`."""
    async with _open_context(settings, backing) as context:
        administration = make_administration(context, make_callers(context), models=frozenset())
        yield make_purging(context), administration


@asynccontextmanager
async def _open_context(settings: Settings, backing: BackingServices) -> AsyncIterator[ProcessContext]:
    async with AsyncExitStack() as stack:
        redis = open_redis(settings, backing, stack, connections=2)
        context = open_context(settings, backing, redis, telemetry=_Unmeasured())
        yield await with_secrets_in_use(context)


class _Unmeasured:
    """Implements `ports.telemetry.Telemetry` for commands, which nothing scrapes."""

    def record(self, fact: TelemetryFact) -> None:
        """Drop the fact."""
