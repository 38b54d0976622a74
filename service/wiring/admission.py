"""Build the shared state: Redis, the local share while it is away, the outbox for missed settlements.

Failure behaviour: see `gateway/admission/shared.py`; nothing is asked here.
"""

from service.adapters.outbox.files import FileOutbox
from service.adapters.redis.orders import RedisOrderBook
from service.gateway.admission.local import LocalShare
from service.gateway.admission.shared import LEASE_S, SharedState
from service.wiring.process import Ground


def make_state(ground: Ground) -> SharedState:
    """Return the shared state of a process; its loops are started by `services.py`."""
    settings = ground.settings
    return SharedState(
        book=RedisOrderBook(
            ground.redis,
            clock=ground.clock,
            timeout_s=settings.redis_timeout_s,
            lease_s=LEASE_S,
            ttl_s=settings.cache_ttl_s,
            process=ground.process,
        ),
        outbox=make_outbox(ground),
        clock=ground.clock,
        telemetry=ground.telemetry,
        local=LocalShare(
            clock=ground.clock,
            processes=settings.replicas * settings.workers,
            spends_budgets=settings.budgets_without_redis == "spend",
        ),
    )


def make_outbox(ground: Ground) -> FileOutbox:
    """Return the outbox, which keeps settlements in the data directory."""
    return FileOutbox(ground.settings.data_dir / "outbox", clock=ground.clock)
