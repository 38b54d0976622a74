"""Build the shared state: Redis, the local share without it, and the journal for settlements."""

from service.adapters.journal.files import FileJournal
from service.adapters.redis.orders import RedisOrders
from service.gateway.admission.local import LocalShare
from service.gateway.admission.shared import LEASE_S, SharedState
from service.wiring.process import ProcessContext


def make_state(context: ProcessContext) -> SharedState:
    """Return the shared state of a process; `services.py` starts its loops."""
    settings = context.settings
    return SharedState(
        book=RedisOrders(
            context.redis,
            timeout_s=settings.redis_timeout_s,
            lease_s=LEASE_S,
            ttl_s=settings.cache_ttl_s,
            process=context.name,
        ),
        journal=make_journal(context),
        clock=context.clock,
        telemetry=context.telemetry,
        local=LocalShare(
            clock=context.clock,
            processes=settings.replicas * settings.workers,
            spends_budgets=settings.budgets_without_redis == "spend",
        ),
    )


def make_journal(context: ProcessContext) -> FileJournal:
    return FileJournal(context.settings.data_dir / "outbox", clock=context.clock)
