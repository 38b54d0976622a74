"""An administration over a real Redis, put together by what puts it together for the gateway and the command line."""

from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis

from service.gateway.accounts.administration import Administration
from service.gateway.accounts.identify import Callers
from service.gateway.accounts.usage import Usage
from service.settings.environment import load_settings
from service.wiring.accounts import make_callers
from service.wiring.administration import make_administration, make_usage
from service.wiring.catalog import checked_models
from service.wiring.process import BackingServices, open_context
from tests.fakes.telemetry import FakeTelemetry

# Patient enough for a busy machine.
SETTINGS = {"GATEWAY_AUTH": "keys", "GATEWAY_REDIS_TIMEOUT_S": "2"}


@dataclass(frozen=True, slots=True)
class Office:
    """An administration and what it works with."""

    administration: Administration
    callers: Callers
    usage: Usage
    telemetry: FakeTelemetry


def open_office(client: Redis, *, config: Path | None = None) -> Office:
    """Return an administration over *client*; *config* is the file that declares policies and teams."""
    telemetry = FakeTelemetry()
    context = open_context(
        load_settings({**SETTINGS, "GATEWAY_CONFIG": str(config or "")}),
        BackingServices(
            redis_url="",
            sandbox_url=None,
            public_url="http://gateway",
            secrets=("a-secret-of-these-tests",),
            process="test",
        ),
        client,
        telemetry=telemetry,
    )
    callers = make_callers(context)
    administration = make_administration(context, callers, models=checked_models(context.settings))
    return Office(administration, callers, make_usage(context), telemetry)
