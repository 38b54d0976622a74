"""Show numbers of the parts of a process in its metrics, read at each scrape."""

import asyncio
from contextlib import suppress

from service.adapters.journal.condition import JournalCondition
from service.adapters.redis.client.url import parse_redis_url
from service.adapters.redis.memory import RedisMemory
from service.adapters.telemetry.metrics.keys import WatchedKey
from service.adapters.telemetry.prometheus import PrometheusMetrics
from service.domain.catalog import Catalog
from service.domain.errors import StateUnavailable
from service.gateway.routing.keys import BackendKey
from service.http.services import Budgets
from service.ports.clock import Clock
from service.wiring.images import Images
from service.wiring.orders import OrderParts
from service.wiring.process import ProcessContext

_MEMORY_PAUSE_S = 15.0


def show_parts(
    metrics: PrometheusMetrics,
    context: ProcessContext,
    *,
    images: Images,
    orders: OrderParts,
    catalog: Catalog,
    budgets: Budgets,
) -> None:
    """Let *metrics* read the parts."""
    journal, settings = orders.journal.condition, context.settings
    today = context.clock.today()
    for backend in dict.fromkeys(key.name.backend for key in orders.queue.routing.keys):
        metrics.provider.expect(backend, catalog.sent_models(today, backend))
    metrics.orders.expect(catalog.sent_models(today))
    metrics.provider.watch_models(
        {model.name: model.shutdown for model in catalog.orderable(today)}, context.clock.today
    )
    metrics.provider.watch_queue(
        lambda: orders.queue.length,
        lambda: len(orders.queue.overdue),
        most_calls=settings.max_calls_waiting,
        most_in_flight=sum(key.most_calls for key in orders.queue.routing.keys),
    )
    metrics.keys.watch([_watched(key) for key in orders.queue.routing.keys], orders.queue.routing.resting)
    metrics.orders.watch_in_flight(
        orders=lambda: orders.runner.running,
        calls=lambda: orders.attempts.in_flight,
        waiters=lambda: orders.share.waiting,
    )
    metrics.store.watch_store(lambda: images.home.is_failing)
    metrics.state.watch_journal(
        settlements=lambda: journal.settlements,
        oldest_s=lambda: _pending_s(journal, context.clock),
        is_failing=lambda: journal.is_failing,
        is_low=lambda: journal.is_low,
    )
    metrics.parts.watch_breakers(
        redis=lambda: orders.state.is_degraded, provider=lambda: orders.queue.routing.is_untrusted
    )
    metrics.requests.watch_bytes(
        memory=lambda: budgets.memory.held_bytes, disk=lambda: budgets.disk.held_bytes
    )


def _watched(key: BackendKey) -> WatchedKey:
    return WatchedKey(name=key.name, in_flight=lambda: key.in_flight, most_calls=key.most_calls)


async def show_memory(metrics: PrometheusMetrics, context: ProcessContext) -> None:
    """Show the memory of Redis every 15 seconds, unless it is a cluster."""
    if parse_redis_url(context.backing.redis_url).kind == "cluster":
        return
    memory = RedisMemory(context.redis, timeout_s=context.settings.redis_timeout_s)
    while True:
        with suppress(StateUnavailable):
            metrics.state.show_memory(*await memory.read())
        await asyncio.sleep(_MEMORY_PAUSE_S)


def _pending_s(journal: JournalCondition, clock: Clock) -> float:
    since_s = journal.pending_since_s
    return 0.0 if since_s is None else clock.monotonic_s() - since_s
