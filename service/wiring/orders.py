"""Build the path of an order: `gateway/order/run.py` and its steps."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from service.adapters.identity.secrets import derive_key
from service.adapters.journal.journal import SqliteJournal
from service.adapters.process_names import ProcessNames
from service.adapters.redis.keys import pool_key
from service.domain.catalog import Catalog
from service.domain.images import Realm
from service.domain.retrying import RetryRule
from service.gateway.admission.shared import SharedState
from service.gateway.order.accept import Acceptance, OrderKeys, Pools
from service.gateway.order.attempt import Attempts
from service.gateway.order.cached import Cached
from service.gateway.order.ends import Ends
from service.gateway.order.idempotency import KeyedOrders
from service.gateway.order.keep import Keeper
from service.gateway.order.make import Maker
from service.gateway.order.preflight import Preflight
from service.gateway.order.refusals import RefusedOrders
from service.gateway.order.run import Orders
from service.gateway.order.runner import OrderRunner
from service.gateway.order.share import Share
from service.gateway.order.waiting import WaitingRoom
from service.gateway.queue.queue import Bounds, CallQueue
from service.http.error_codes import code_of
from service.settings.variables import Settings
from service.wiring.admission import make_state, open_journal
from service.wiring.backends import Backends
from service.wiring.images import Images
from service.wiring.process import ProcessContext


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderParts:
    """The entry for orders, and the parts that background loops and metrics need."""

    orders: Orders
    runner: OrderRunner
    state: SharedState
    share: Share
    attempts: Attempts
    queue: CallQueue
    journal: SqliteJournal


async def open_orders(
    context: ProcessContext,
    names: ProcessNames,
    images: Images,
    backends: Backends,
    catalog: Catalog,
    stack: AsyncExitStack,
) -> OrderParts:
    """Open the path of orders; *stack* waits for running orders, up to the drain time."""
    store, references = images.store, images.references
    clock, telemetry = context.clock, context.telemetry
    journal = await open_journal(context, names, stack)
    state = make_state(context, journal)
    runner = await stack.enter_async_context(
        OrderRunner(
            telemetry=telemetry,
            drain_s=context.settings.drain_s,
            flush=state.pending.flush,
            span=context.traces.open_span,
        )
    )
    share = Share(room=WaitingRoom(), store=store, clock=clock)
    queue = CallQueue(clock, telemetry, _bounds(context.settings), backends.routing)
    attempts = Attempts(
        queue=queue,
        clock=clock,
        telemetry=telemetry,
        rule=RetryRule(),
        span=context.traces.open_span,
    )
    orders = Orders(
        acceptance=_acceptance(context, catalog, backends.realm),
        runner=runner,
        state=state,
        keyed=KeyedOrders(state=state, store=store, references=references, clock=clock),
        cached=Cached(state=state, store=store, references=references, telemetry=telemetry),
        preflight=Preflight(
            store=store, refusals=RefusedOrders(clock), queue=queue, moderator=backends.moderator
        ),
        maker=Maker(
            queue=queue,
            attempts=attempts,
            keeper=Keeper(
                finisher=images.imaging,
                store=store,
                clock=clock,
                of_one_format=frozenset([offer.backend for offer in catalog.offers if offer.makes]),
            ),
            state=state,
        ),
        share=share,
        clock=clock,
        ends=Ends(clock=clock, telemetry=telemetry, code_of=code_of),
        span=context.traces.open_span,
    )
    return OrderParts(
        orders=orders,
        runner=runner,
        state=state,
        share=share,
        attempts=attempts,
        queue=queue,
        journal=journal,
    )


def _bounds(settings: Settings) -> Bounds:
    return Bounds(
        waiting=settings.max_calls_waiting,
        waiting_bytes=settings.waiting_bytes,
        deadline_s=settings.deadline_s,
    )


def _acceptance(context: ProcessContext, catalog: Catalog, realm: Realm) -> Acceptance:
    settings, secret = context.settings, context.lasting_secret
    return Acceptance(
        catalog=catalog,
        keys=OrderKeys(fingerprint=derive_key(secret, "fingerprint"), person=derive_key(secret, "person")),
        realm=realm,
        clock=context.clock,
        pools=Pools(key=pool_key, scope=settings.cache_scope) if settings.cache == "on" else None,
        pass_unknown=settings.file.backend.pass_unknown,
        counts_unpriced=settings.unpriced == "count",
    )
