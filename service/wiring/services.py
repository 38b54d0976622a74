"""Open all services of a process that serves, in order; close them in reverse.

The modules of this package choose the adapters of each subject. Failure behaviour: a process starts
without Redis, store or provider; a part that fails to open ends the start, and closes the others.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version

from service.adapters.clock import SystemClock
from service.adapters.redis.client.troubleshooting import explain
from service.adapters.redis.wakeups import RedisWakeups
from service.adapters.telemetry.health import ProviderHealth
from service.adapters.telemetry.logs import FactLog
from service.adapters.telemetry.prometheus import PrometheusMetrics
from service.adapters.telemetry.recorder import FactRecorder
from service.adapters.telemetry.trace_ids import note_trace_id
from service.domain.catalog import Catalog
from service.gateway.accounts.identify import Callers
from service.gateway.admission.allowance import Allowance
from service.gateway.admission.predecessors import release_predecessors
from service.gateway.admission.shared import MOST_ASKING
from service.gateway.order.estimate import Estimates
from service.gateway.scrapes import Scrapes
from service.http.services import Accounts, HttpServices, Operations, Ordering, StoredImages
from service.http.sites import Sites
from service.ports.accounts import TokenVerifier
from service.settings.variables import Settings
from service.wiring.accounts import open_callers
from service.wiring.administration import make_administration, make_purging, make_usage
from service.wiring.admission import make_abandoned, open_names
from service.wiring.backends import open_backends, watch_backends
from service.wiring.catalog import load_catalog
from service.wiring.conditions import make_watch
from service.wiring.images import (
    Images,
    make_budgets,
    make_disks,
    make_front,
    make_links,
    make_ownership,
    make_retention,
    open_images,
    open_uploads,
    watch_store,
)
from service.wiring.memory import trim_when_idle
from service.wiring.metrics import show_memory, show_parts
from service.wiring.neighbours import open_heartbeats
from service.wiring.notices import post_at_start, post_later
from service.wiring.orders import OrderParts, open_orders
from service.wiring.process import BackingServices, ProcessContext, open_context, open_redis
from service.wiring.traces import open_traces

_REDIS_PLACES = MOST_ASKING + 16
"""More scripts than orders begin at once, so that settlements, heartbeats and leases find a place."""
_REDIS_CONNECTIONS = 64
"""For all that is no script: a burst of callers whose keys are not known yet looks each up. Few are ever open."""


@asynccontextmanager
async def open_services(settings: Settings, backing: BackingServices) -> AsyncIterator[HttpServices]:
    """Open all services; closing drains the orders first."""
    metrics = PrometheusMetrics(
        version=version("image-gateway"), revision=settings.revision, replicas=settings.replicas
    )
    health = ProviderHealth(SystemClock())
    async with AsyncExitStack() as stack:
        traces = open_traces(settings, stack)
        context = open_context(
            settings,
            backing,
            open_redis(
                settings,
                backing,
                stack,
                connections=_REDIS_CONNECTIONS,
                places=_REDIS_PLACES,
                note=traces.watch_redis(metrics.state.note_round_trip),
            ),
            telemetry=FactRecorder(
                *metrics.handlers,
                health.handlers,
                FactLog(explain_state=lambda reason: explain(reason, backing.redis_url)).handlers,
                traces.handlers,
            ),
            traces=traces,
        )
        listener = open_redis(settings, backing, stack, connections=4)
        heartbeats = open_heartbeats(context, stack)
        obstacle = await post_at_start(context)
        images = await open_images(context, stack)
        catalog = load_catalog(settings)
        backends = await open_backends(context, catalog, images.imaging, listener, stack)
        # Before the orders: whoever starts while they drain must find this process alive.
        names = stack.enter_context(open_names(context))
        orders = await open_orders(context, names, images, backends, catalog, stack)
        if obstacle is not None:
            orders.state.start_without(obstacle)
        callers = await open_callers(context, await _open_verifier(context, stack))
        disks = make_disks(settings)
        metrics.process.watch_disks(disks.places, disks.rooms)
        wakeups = RedisWakeups(listener, process=context.name)
        for name, loop in {
            "beat": lambda: orders.state.beat_forever(heartbeats),
            "renew": orders.state.renew_forever,
            "replay": orders.state.pending.replay_forever,
            "predecessors": lambda: release_predecessors(names, make_abandoned(context)),
            "listen": lambda: orders.share.room.listen_forever(wakeups),
            **backends.loops,
            "silence": orders.queue.watch_forever,
            "callers": callers.watch_forever,
            "sweep": make_retention(context, images).sweep_forever,
            "store": lambda: watch_store(images.home),
            "provider": lambda: watch_backends(backends.checks, health),
            "memory": lambda: trim_when_idle(lambda: orders.runner.running > 0),
            "redis": lambda: show_memory(metrics, context),
            "disks": disks.measure_forever,
            "notices": lambda: post_later(context, is_done=obstacle is None),
        }.items():
            orders.runner.keep(name, loop)
        if images.spill:
            orders.runner.keep("spill", images.spill.bring_home_forever)
        watch = make_watch(context, images, orders, health, disks)
        orders.runner.keep("watch", watch.watch_forever)
        operations = Operations(
            runner=orders.runner, look=watch.look, scrapes=Scrapes(metrics.render, context.clock)
        )
        services = _services(context, images, orders, callers, catalog, operations)
        orders.runner.keep("keys", services.accounts.administration.keys.expire_forever)
        show_parts(metrics, context, images=images, orders=orders, catalog=catalog, budgets=services.budgets)
        yield services


async def _open_verifier(context: ProcessContext, stack: AsyncExitStack) -> TokenVerifier | None:
    if "jwt" not in context.settings.auth:
        return None
    # Loaded on demand: it brings a hundred modules and 3 MB, and most gateways take no tokens.
    from service.wiring.tokens import open_verifier  # noqa: PLC0415

    return await open_verifier(context, stack)


def _services(
    context: ProcessContext,
    images: Images,
    orders: OrderParts,
    callers: Callers,
    catalog: Catalog,
    operations: Operations,
) -> HttpServices:
    settings, allowance = context.settings, Allowance(orders.state)
    return HttpServices(
        ordering=Ordering(
            orders=orders.orders,
            estimates=Estimates(acceptance=orders.orders.acceptance, allowance=allowance),
            catalog=catalog,
            inputs=images.imaging,
            uploads=open_uploads(settings),
            deadline_s=settings.deadline_s,
        ),
        budgets=make_budgets(context),
        images=StoredImages(
            files=images.store,
            front=make_front(settings, images),
            links=make_links(context),
            ownership=make_ownership(context, images, orders.journal),
            purging=make_purging(context),
            redirect_s=settings.store_redirect_s,
        ),
        accounts=Accounts(
            callers=callers,
            allowance=allowance,
            usage=make_usage(context),
            administration=make_administration(context, callers, models=frozenset(catalog.models)),
            sites=_sites(context),
            metrics_key=settings.metrics_key.get_secret_value() if settings.metrics_key else None,
            metrics_port=context.backing.metrics_port,
        ),
        operations=operations,
        clock=context.clock,
        telemetry=context.telemetry,
        note_trace_id=note_trace_id,
        open_request_span=context.traces.open_request,
    )


def _sites(context: ProcessContext) -> Sites | None:
    """Return the web sites of an open gateway; one that needs credentials has none to fear."""
    if not context.settings.is_open:
        return None
    return Sites(
        public_url=context.backing.public_url,
        hosts=context.settings.known_hosts,
        origins=context.settings.known_origins,
    )
