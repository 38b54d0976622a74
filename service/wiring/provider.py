"""Build the provider: its address, its pace, and the moderation of prompts.

Failure behaviour: open. The start does not wait for the provider; a free check reports one that
is unreachable or refuses the key.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx
from aiolimiter import AsyncLimiter

from service.adapters.downloads import ImageDownloads
from service.adapters.openai.address import BackendAddress, Timeouts
from service.adapters.openai.backend import OpenAIBackend
from service.adapters.openai.check import ProviderCheck
from service.adapters.openai.moderation import ListModerator, ProviderModerator
from service.adapters.telemetry.health import ProviderHealth
from service.adapters.transport import open_transport
from service.domain.images import Realm
from service.ports.provider import Backend, Moderator, Pace
from service.settings.variables import Settings
from service.wiring.process import BackingServices, ProcessContext

_CHECK_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """The provider of images and its *pace*, a free *check* of it, and a *moderator* of prompts, if any."""

    backend: Backend
    pace: Pace | None
    check: ProviderCheck
    moderator: Moderator | None


async def open_provider(context: ProcessContext, stack: AsyncExitStack) -> Provider:
    """Open the connections to the provider; sends nothing yet."""
    address = _address(context.settings, context.backing)
    transport = _open_transport(address, context)
    stack.push_async_callback(transport.aclose)
    downloads = ImageDownloads(address.url, trusted=context.settings.trusted_hosts)
    stack.push_async_callback(downloads.aclose)
    return Provider(
        backend=OpenAIBackend(address, transport=transport, timeouts=Timeouts(), downloads=downloads),
        pace=_pace(context.settings),
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
