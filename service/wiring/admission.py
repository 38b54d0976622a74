"""Build the shared state: Redis, the local share without it, and the journal for settlements."""

from contextlib import AsyncExitStack

from service.adapters.journal.journal import SqliteJournal
from service.adapters.process_names import ProcessNames
from service.adapters.redis.abandoned import RedisAbandonedOrders
from service.adapters.redis.orders import RedisOrders
from service.gateway.admission.local import LocalShare
from service.gateway.admission.shared import LEASE_S, SharedState
from service.wiring.process import ProcessContext


def make_state(context: ProcessContext, journal: SqliteJournal) -> SharedState:
    """Return the shared state of a process; `services.py` starts its loops."""
    settings = context.settings
    return SharedState(
        book=RedisOrders(
            context.redis,
            timeout_s=settings.redis_timeout_s,
            lease_s=LEASE_S,
            ttl_s=settings.cache_ttl_s,
            process=context.name,
            fanout_window_ms=settings.fanout_window_ms,
        ),
        journal=journal,
        clock=context.clock,
        telemetry=context.telemetry,
        local=LocalShare(
            clock=context.clock,
            processes=settings.replicas,
            spends_budgets=settings.budgets_without_redis == "spend",
            fanout_window_s=settings.fanout_window_ms / 1000,
        ),
    )


async def open_journal(context: ProcessContext, names: ProcessNames, stack: AsyncExitStack) -> SqliteJournal:
    """Open the journal of this machine; *stack* closes it, after all that settle through it."""
    directory = context.settings.data_dir
    journal = SqliteJournal(
        directory / "journal",
        old=directory / "outbox",
        clock=context.clock,
        lease_s=LEASE_S,
        process=names.name,
        is_alive=names.is_alive,
    )
    await journal.open()
    stack.push_async_callback(journal.close)
    return journal


def make_abandoned(context: ProcessContext) -> RedisAbandonedOrders:
    return RedisAbandonedOrders(context.redis, timeout_s=context.settings.redis_timeout_s)


def open_names(context: ProcessContext) -> ProcessNames:
    return ProcessNames(context.settings.data_dir / "processes", context.name)
