"""Open what every part of a process stands on: its settings, backing services, Redis, clock and telemetry.

Failure behaviour: opening connects to nothing, so it fails for no one's absence.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import uuid4

from redis.asyncio import Redis

from service.adapters.clock import SystemClock
from service.adapters.redis.client.client import open_client
from service.ports.telemetry import Telemetry
from service.settings.problems import SettingsError
from service.settings.variables import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class BackingServices:
    """The parts that the supervisor found or started for this process.

    *sandbox_url* None means the real provider. *secrets* are newest first.
    """

    redis_url: str
    sandbox_url: str | None
    public_url: str
    secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessContext:
    """The settings and connections of a process; *name* tells it from others with the same state."""

    settings: Settings
    backing: BackingServices
    redis: Redis
    clock: SystemClock
    telemetry: Telemetry
    name: str

    @property
    def lasting_secret(self) -> str:
        """The oldest secret: hashes that must not change during a rotation come from it."""
        return self.backing.secrets[-1]


def open_context(
    settings: Settings,
    backing: BackingServices,
    stack: AsyncExitStack,
    *,
    telemetry: Telemetry,
    connections: int,
) -> ProcessContext:
    """Open a process's connections to Redis, up to a limit; nothing is sent yet."""
    return ProcessContext(
        settings=settings,
        backing=backing,
        redis=open_redis(settings, backing, stack, connections=connections),
        clock=SystemClock(),
        telemetry=telemetry,
        name=uuid4().hex,
    )


def check_redis_url(settings: Settings) -> None:
    """Check that a client understands the settings of Redis; raises `SettingsError`."""
    if settings.redis_url is None:
        return
    try:
        # Reads all of it, and connects to nothing.
        open_client(settings.redis_url.get_secret_value(), timeout_s=1, connections=1)
    except ValueError as error:
        raise SettingsError(f"GATEWAY_REDIS_URL: {error}") from None


def open_redis(
    settings: Settings, backing: BackingServices, stack: AsyncExitStack, *, connections: int
) -> Redis:
    """Return a client that *stack* closes."""
    client = open_client(backing.redis_url, timeout_s=settings.redis_timeout_s, connections=connections)
    stack.push_async_callback(client.aclose)
    return client
