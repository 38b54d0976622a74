"""Build the backends: their keys and the choice among them, free checks, and the moderation of prompts.

Failure behaviour: open. The start does not wait for any backend; free checks report a key that is refused, or whose
backend is unreachable.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from aiolimiter import AsyncLimiter
from pydantic import SecretStr
from redis.asyncio import Redis

from service.adapters.downloads import ImageDownloads
from service.adapters.openai.address import BackendAddress, Timeouts
from service.adapters.openai.backend import OpenAIBackend
from service.adapters.openai.check import ProviderCheck
from service.adapters.openai.deviations import DeviatingBackend
from service.adapters.openai.moderation import ListModerator, ProviderModerator
from service.adapters.openai.reception import Reception
from service.adapters.redis.rests import RedisRests
from service.adapters.telemetry.health import ProviderHealth
from service.domain.backends import KeyName
from service.domain.catalog import Catalog
from service.domain.images import Realm
from service.gateway.routing.keys import BackendKey
from service.gateway.routing.routing import Routing
from service.gateway.routing.sharing import RestSharing
from service.ports.imaging import MaskWhitener
from service.ports.provider import Backend, Moderator
from service.settings.backend_keys import KeyConfig
from service.settings.backends import BackendConfig
from service.settings.variables import Settings
from service.wiring.addresses import address_of, open_transport_to
from service.wiring.effective import configured_backends
from service.wiring.process import BackingServices, ProcessContext

_CHECK_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backends:
    """The keys of all backends and the *sharing* of their rests, free *checks* of them, and a *moderator* of prompts, if any."""

    realm: Realm
    routing: Routing
    sharing: RestSharing
    checks: tuple[ProviderCheck, ...]
    moderator: Moderator | None

    @property
    def loops(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        """The loops to keep running, by name."""
        return {
            "rests told": self.sharing.tell_forever,
            "rests heard": lambda: self.sharing.listen_forever(self.routing),
            "rests read": lambda: self.sharing.read_forever(self.routing),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """The parts that the keys of a process share."""

    context: ProcessContext
    catalog: Catalog
    masks: MaskWhitener
    realm: Realm
    reception: Reception
    stack: AsyncExitStack

    @property
    def is_of_variables(self) -> bool:
        """Tell if the provider's variables set the only backend."""
        return not self.context.settings.file.backends

    def address_of(self, backend: BackendConfig, key: KeyConfig) -> BackendAddress:
        """Return the address of *backend* with *key*."""
        return address_of(backend, key, self.realm, is_of_variables=self.is_of_variables)


async def open_backends(
    context: ProcessContext, catalog: Catalog, masks: MaskWhitener, listener: Redis, stack: AsyncExitStack
) -> Backends:
    """Open the connections to the backends; sends them nothing yet. Rests are shared through *listener*, and known from the start."""
    settings = context.settings
    sharing = RestSharing(RedisRests(listener, process=context.name, timeout_s=settings.redis_timeout_s))
    realm = Realm.LIVE if context.backing.sandbox_url is None else Realm.SANDBOX
    parts = _Parts(
        context=context, catalog=catalog, masks=masks, realm=realm, reception=Reception(), stack=stack
    )
    backends = _backends(settings, context.backing)
    opened = [pair for backend in backends for pair in _open_keys(parts, backend)]
    keys = sorted((key for key, _ in opened), key=lambda key: key.priority)
    for key in keys:
        for model in catalog.sent_models(context.clock.today()):
            # Known from the start, so that the rests of other processes are.
            key.standing_with(model)
    routing = Routing(keys=keys, clock=context.clock, telemetry=context.telemetry, share=sharing.tell)
    await sharing.read(routing)
    return Backends(
        realm=realm,
        routing=routing,
        sharing=sharing,
        checks=tuple([check for _, check in opened]),
        moderator=_open_moderator(parts, backends),
    )


async def watch_backends(checks: Sequence[ProviderCheck], health: ProviderHealth) -> None:
    """Check each key until it works; from then on, calls show its condition."""
    while True:
        async with asyncio.TaskGroup() as group:
            for check in checks:
                if health.needs_check(check.name):
                    group.create_task(check.run())
        await asyncio.sleep(_CHECK_PAUSE_S)


def _backends(settings: Settings, backing: BackingServices) -> list[BackendConfig]:
    if backing.sandbox_url is None:
        return configured_backends(settings)
    pace = settings.file.backend.images_per_min
    key = KeyConfig.model_construct(name="sandbox", key=SecretStr("sandbox"), images_per_min=pace)
    return [BackendConfig.model_construct(name="sandbox", url=f"{backing.sandbox_url}/v1", keys=[key])]


def _calls_of(settings: Settings, key: KeyConfig) -> int:
    return key.calls_share(replicas=settings.replicas, otherwise=settings.max_calls_in_flight)


def _open_keys(parts: _Parts, backend: BackendConfig) -> list[tuple[BackendKey, ProviderCheck]]:
    context, settings = parts.context, parts.context.settings
    transport = open_transport_to(
        backend,
        connections=sum(_calls_of(settings, key) for key in backend.keys),
        traceparent=context.traces.traceparent,
    )
    parts.stack.push_async_callback(transport.aclose)
    downloads = ImageDownloads(backend.url, trusted=settings.trusted_hosts)
    parts.stack.push_async_callback(downloads.aclose)
    # Variables name no limit, so only the order's deadline ends a call.
    limits_s = {} if parts.is_of_variables else backend.timeouts_s.model_dump(exclude_none=True)
    timeouts = Timeouts(call_s=limits_s)
    found = []
    for key in backend.keys:
        address = parts.address_of(backend, key)
        opened = OpenAIBackend(
            address,
            transport=transport,
            timeouts=timeouts,
            downloads=downloads,
            reception=parts.reception,
        )
        made = _key(parts, backend, key, opened)
        check = ProviderCheck(address, name=made.name, transport=transport, telemetry=context.telemetry)
        found.append((made, check))
    return found


def _key(parts: _Parts, backend: BackendConfig, key: KeyConfig, opened: Backend) -> BackendKey:
    settings = parts.context.settings
    per_min = key.pace_share(replicas=settings.replicas)
    return BackendKey(
        name=KeyName(backend.name, key.name),
        backend=_as_declared(parts, backend, opened),
        most_calls=_calls_of(settings, key),
        weight=key.weight,
        priority=key.priority,
        pace=AsyncLimiter(per_min, 60.0) if per_min else None,
    )


def _as_declared(parts: _Parts, backend: BackendConfig, opened: Backend) -> Backend:
    """Return *opened*, wrapped if the backend declares that it makes one format only, or repaints what is white."""
    is_white = backend.masks == "white"
    if backend.makes is None and not is_white:
        return opened
    masked_by_alpha = [
        model.name for model in parts.catalog.models.values() if model.contract.inputs.needs_alpha
    ]
    return DeviatingBackend(
        opened,
        makes=backend.makes,
        masks=parts.masks if is_white else None,
        masked_by_alpha=masked_by_alpha,
    )


def _open_moderator(parts: _Parts, backends: Sequence[BackendConfig]) -> Moderator | None:
    settings = parts.context.settings
    if settings.moderation == "list":
        return ListModerator(settings.file.moderation.words)
    if settings.moderation == "provider":
        backend = next(each for each in backends if each.kind == "openai")
        transport = open_transport_to(backend, connections=settings.max_calls_in_flight)
        parts.stack.push_async_callback(transport.aclose)
        return ProviderModerator(parts.address_of(backend, backend.keys[0]), transport)
    return None
