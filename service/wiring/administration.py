"""Build the use cases of admins, for HTTP and for the shell: keys, teams, policies, the ledger, the audit.

Failure behaviour: nothing is asked here; the use cases raise `StateUnavailable` when used.
"""

from service.adapters.redis.ledger import RedisLedger
from service.adapters.redis.notices import RedisNotices
from service.adapters.redis.references import RedisReferences
from service.gateway.accounts.administration import Administration
from service.gateway.accounts.identify import Callers
from service.gateway.accounts.usage import Usage
from service.gateway.images.purge import Purging
from service.wiring.accounts import declared_directory, make_registry
from service.wiring.process import Ground


def make_administration(ground: Ground, callers: Callers, *, models: frozenset[str]) -> Administration:
    """Return the administration of keys, teams and policies; a policy may name *models* and a gateway's declared names."""
    registry = make_registry(ground)
    return Administration(
        callers=callers,
        book=registry,
        registrar=registry,
        ledger=_ledger(ground),
        references=_references(ground),
        notices=RedisNotices(ground.redis, timeout_s=ground.settings.redis_timeout_s),
        declared=declared_directory(ground.settings),
        models=models,
        clock=ground.clock,
        telemetry=ground.telemetry,
    )


def make_usage(ground: Ground) -> Usage:
    """Return the use case that sums up the ledger."""
    return Usage(ledger=_ledger(ground), clock=ground.clock)


def make_purging(ground: Ground) -> Purging:
    """Return the use case that counts and purges stored images."""
    return Purging(
        references=_references(ground),
        audit=make_registry(ground),
        clock=ground.clock,
        telemetry=ground.telemetry,
    )


def _ledger(ground: Ground) -> RedisLedger:
    return RedisLedger(ground.redis, clock=ground.clock, timeout_s=ground.settings.redis_timeout_s)


def _references(ground: Ground) -> RedisReferences:
    return RedisReferences(ground.redis, clock=ground.clock, timeout_s=ground.settings.redis_timeout_s)
