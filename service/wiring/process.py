"""Open the context of a process: settings, backing services, Redis, clock and telemetry."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from uuid import uuid4

from redis.asyncio import Redis

from service.adapters.clock import SystemClock
from service.adapters.redis.client.client import open_client
from service.adapters.redis.client.line import PLACES
from service.adapters.redis.client.round_trips import NoteRoundTrip, drop_round_trip
from service.adapters.redis.server_time import RedisTime
from service.gateway.clock_check import ClockCheck
from service.ports.telemetry import Telemetry
from service.settings.problems import SettingsError
from service.settings.variables import Settings
from service.wiring.traces import UNTRACED, Traces


@dataclass(frozen=True, slots=True, kw_only=True)
class BackingServices:
    """The services that the supervisor found or started, and the secrets, newest first.

    *sandbox_url* is None for a real provider, *metrics_port* without a port of their own for metrics; *process* is unique
    among processes on one Redis.
    """

    redis_url: str
    sandbox_url: str | None
    public_url: str
    secrets: tuple[str, ...]
    metrics_port: int | None = None
    process: str = field(default_factory=lambda: uuid4().hex)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessContext:
    """The settings and connections of a process."""

    settings: Settings
    backing: BackingServices
    redis: Redis
    clock: SystemClock
    telemetry: Telemetry
    check: ClockCheck
    traces: Traces = UNTRACED

    @property
    def name(self) -> str:
        """Its name, unique among processes on one Redis."""
        return self.backing.process

    @property
    def lasting_secret(self) -> str:
        """The oldest secret, for hashes that must not change in a rotation."""
        return self.backing.secrets[-1]


def open_context(
    settings: Settings,
    backing: BackingServices,
    redis: Redis,
    *,
    telemetry: Telemetry,
    traces: Traces = UNTRACED,
) -> ProcessContext:
    """Return the context of a process that talks to *redis*."""
    clock = SystemClock()
    shared = RedisTime(redis, timeout_s=settings.redis_timeout_s)
    return ProcessContext(
        settings=settings,
        backing=backing,
        redis=redis,
        clock=clock,
        telemetry=telemetry,
        check=ClockCheck(clock=clock, shared=shared, telemetry=telemetry),
        traces=traces,
    )


def check_redis_url(settings: Settings) -> None:
    """Check that a client accepts the URL of Redis; raises `SettingsError`."""
    if settings.redis_url is None:
        return
    try:
        # Parses the URL, and connects to nothing.
        open_client(settings.redis_url.get_secret_value(), timeout_s=1, connections=1)
    except ValueError as error:
        raise SettingsError(f"GATEWAY_REDIS_URL: {error}") from None


def open_redis(
    settings: Settings,
    backing: BackingServices,
    stack: AsyncExitStack,
    *,
    connections: int,
    places: int = PLACES,
    note: NoteRoundTrip = drop_round_trip,
) -> Redis:
    """Return a client that *stack* closes; *note* takes its round trips."""
    client = open_client(
        backing.redis_url,
        timeout_s=settings.redis_timeout_s,
        connections=connections,
        places=places,
        note=note,
    )
    stack.push_async_callback(client.aclose)
    return client
