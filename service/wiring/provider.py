"""Build the provider: its address, its pace, and the moderation of prompts.

Failure behaviour: open. The start does not wait for the provider; a free check reports one that
is unreachable or refuses the key.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx
from aiolimiter import AsyncLimiter
from redis.asyncio import Redis

from service.adapters.downloads import ImageDownloads
from service.adapters.openai.address import BackendAddress, Timeouts
from service.adapters.openai.backend import OpenAIBackend
from service.adapters.openai.check import ProviderCheck
from service.adapters.openai.moderation import ListModerator, ProviderModerator
from service.adapters.redis.rests import RedisRests
from service.adapters.telemetry.health import ProviderHealth
from service.adapters.transport import open_transport
from service.domain.backends import KeyName
from service.domain.images import Realm
from service.gateway.routing.keys import BackendKey
from service.gateway.routing.routing import Routing
from service.gateway.routing.sharing import RestSharing
from service.ports.provider import Moderator, Pace
from service.settings.variables import Settings
from service.wiring.process import BackingServices, ProcessContext

_CHECK_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """The keys of all backends and the *sharing* of their rests, a free *check* of them, and a *moderator* of prompts, if any."""

    routing: Routing
    sharing: RestSharing
    check: ProviderCheck
    moderator: Moderator | None

    @property
    def realm(self) -> Realm:
        """The realm of all images."""
        return self.routing.keys[0].backend.realm

    @property
    def loops(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        """The loops to keep running, by name."""
        return {
            "rests told": self.sharing.tell_forever,
            "rests heard": lambda: self.sharing.listen_forever(self.routing),
            "rests read": lambda: self.sharing.read_forever(self.routing),
        }


async def open_provider(context: ProcessContext, listener: Redis, stack: AsyncExitStack) -> Provider:
    """Open the connections to the backends; sends nothing yet. Rests are shared through *listener*."""
    timeout_s = context.settings.redis_timeout_s
    sharing = RestSharing(RedisRests(listener, process=context.name, timeout_s=timeout_s))
    address = _address(context.settings, context.backing)
    transport = _open_transport(address, context)
    stack.push_async_callback(transport.aclose)
    downloads = ImageDownloads(address.url, trusted=context.settings.trusted_hosts)
    stack.push_async_callback(downloads.aclose)
    key = BackendKey(
        name=KeyName(address.name, "key-1"),
        backend=OpenAIBackend(address, transport=transport, timeouts=Timeouts(), downloads=downloads),
        most_calls=context.settings.max_calls_in_flight,
        pace=_pace(context.settings),
    )
    return Provider(
        routing=Routing(keys=[key], clock=context.clock, telemetry=context.telemetry, share=sharing.tell),
        sharing=sharing,
        check=ProviderCheck(address, transport=transport, telemetry=context.telemetry),
        moderator=_open_moderator(context, address, stack),
    )


async def watch_provider(check: ProviderCheck, health: ProviderHealth) -> None:
    """Check the provider until it works; from then on, calls show its condition."""
    while True:
        if health.needs_check:
            await check.run()
        await asyncio.sleep(_CHECK_PAUSE_S)


def _open_transport(address: BackendAddress, context: ProcessContext) -> httpx.AsyncBaseTransport:
    return open_transport(
        address.url,
        connections=context.settings.max_calls_in_flight,
        traceparent=context.traces.traceparent,
    )


def _address(settings: Settings, backing: BackingServices) -> BackendAddress:
    if backing.sandbox_url is not None:
        return BackendAddress(
            name="sandbox", realm=Realm.SANDBOX, url=f"{backing.sandbox_url}/v1", api_key="sandbox"
        )
    return BackendAddress(
        name=settings.file.backend.name,
        realm=Realm.LIVE,
        url=settings.provider_url,
        api_key=settings.openai_api_key.get_secret_value() if settings.openai_api_key else "none",
        organization=settings.openai_org_id,
        project=settings.openai_project_id,
    )


def _pace(settings: Settings) -> Pace | None:
    """Return this process's share of the rate that the provider allows."""
    per_min = settings.file.backend.images_per_min
    if per_min == 0:
        return None
    return AsyncLimiter(max(1.0, per_min / settings.replicas), 60.0)


def _open_moderator(
    context: ProcessContext, address: BackendAddress, stack: AsyncExitStack
) -> Moderator | None:
    settings = context.settings
    if settings.moderation == "list":
        return ListModerator(settings.file.moderation.words)
    if settings.moderation == "provider":
        transport = _open_transport(address, context)
        stack.push_async_callback(transport.aclose)
        return ProviderModerator(address, transport)
    return None
