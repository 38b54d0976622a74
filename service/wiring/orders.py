"""Build the path of an order: `gateway/order/run.py` with every step it takes.

Failure behaviour: leaving waits for the orders under way, as long as the drain time.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from service.adapters.identity.secrets import derive_key
from service.adapters.redis.keys import pool_key
from service.domain.catalog import Catalog
from service.domain.images import ImageOrder, Realm
from service.domain.retrying import RetryRule
from service.gateway.admission.shared import SharedState
from service.gateway.order.accept import Acceptance, OrderKeys, PoolName
from service.gateway.order.attempt import Attempts
from service.gateway.order.cached import Hits
from service.gateway.order.idempotency import Idempotence
from service.gateway.order.keep import Keeper
from service.gateway.order.make import Dispatcher
from service.gateway.order.preflight import Obstacles
from service.gateway.order.refusals import Refusals
from service.gateway.order.run import Generate
from service.gateway.order.runner import OrderRunner
from service.gateway.order.share import Coalescing
from service.gateway.order.waiting import Flights
from service.settings.variables import Settings
from service.wiring.admission import make_state
from service.wiring.images import Images
from service.wiring.process import Ground
from service.wiring.provider import Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """The entry for orders, and the parts its background loops serve."""

    generate: Generate
    runner: OrderRunner
    state: SharedState
    flights: Flights


async def open_orders(
    ground: Ground, images: Images, provider: Provider, catalog: Catalog, stack: AsyncExitStack
) -> Orders:
    """Accept orders from now on; *stack* drains them."""
    flights, state = Flights(), make_state(ground)
    runner = await stack.enter_async_context(
        OrderRunner(telemetry=ground.telemetry, drain_s=ground.settings.drain_s)
    )
    store, clock, telemetry = images.store, ground.clock, ground.telemetry
    references = images.references
    generate = Generate(
        acceptance=_acceptance(ground, catalog, provider.backend.realm),
        runner=runner,
        state=state,
        idempotence=Idempotence(state=state, store=store, references=references, clock=clock),
        hits=Hits(state=state, store=store, references=references, flights=flights, telemetry=telemetry),
        obstacles=Obstacles(store=store, refusals=Refusals(clock), moderator=provider.moderator),
        dispatcher=_dispatcher(ground, images, provider, state, flights),
        coalescing=Coalescing(flights=flights, store=store, clock=clock, telemetry=telemetry),
        clock=clock,
        telemetry=telemetry,
    )
    return Orders(generate=generate, runner=runner, state=state, flights=flights)


def _acceptance(ground: Ground, catalog: Catalog, realm: Realm) -> Acceptance:
    settings, secret = ground.settings, ground.lasting_secret
    return Acceptance(
        catalog=catalog,
        keys=OrderKeys(fingerprint=derive_key(secret, "fingerprint"), person=derive_key(secret, "person")),
        realm=realm,
        clock=ground.clock,
        pool_name=_pool_name(settings),
        pass_unknown=settings.file.backend.pass_unknown,
        counts_unpriced=settings.unpriced == "count",
    )


def _dispatcher(
    ground: Ground, images: Images, provider: Provider, state: SharedState, flights: Flights
) -> Dispatcher:
    clock, telemetry = ground.clock, ground.telemetry
    return Dispatcher(
        attempts=Attempts(backend=provider.backend, clock=clock, telemetry=telemetry, rule=RetryRule()),
        keeper=Keeper(finisher=images.pictures, store=images.store, clock=clock),
        state=state,
        flights=flights,
        telemetry=telemetry,
        clock=clock,
        max_calls=ground.settings.max_calls_in_flight,
    )


def _pool_name(settings: Settings) -> PoolName | None:
    if settings.cache == "off":
        return None

    def name(order: ImageOrder, fingerprint: str) -> str:
        is_own = "user" in (settings.cache_scope, order.caller.cache_scope)
        scope = f"user-{order.caller.user}" if is_own else "team"
        return pool_key(order.caller.team, scope, fingerprint)

    return name
