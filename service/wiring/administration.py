"""Build the use cases of admins, for HTTP and for the shell: keys, teams, policies, the ledger, the audit.

Failure behaviour: nothing is asked here; the use cases raise `StateUnavailable` when used.
"""

from service.adapters.redis.ledger import RedisLedger
from service.adapters.redis.notices import RedisNotices
from service.adapters.redis.references import RedisReferences
from service.gateway.accounts.administration import Administration
from service.gateway.accounts.audit import AuditTrail
from service.gateway.accounts.directory import DirectoryReader
from service.gateway.accounts.erasure import Erasure
from service.gateway.accounts.identify import Callers
from service.gateway.accounts.keys import Keys
from service.gateway.accounts.usage import Usage
from service.gateway.images.purge import Purging
from service.wiring.accounts import declared_directory, make_registry
from service.wiring.process import Ground


def make_administration(ground: Ground, callers: Callers, *, models: frozenset[str]) -> Administration:
    """Return the administration of keys, teams and policies; a policy may name *models* and a gateway's declared names."""
    registry, ledger, references = make_registry(ground), _ledger(ground), _references(ground)
    trail = AuditTrail(registry, ground.clock, ground.telemetry)
    reader = DirectoryReader(
        book=registry,
        known=ledger,
        declarations=RedisNotices(ground.redis, timeout_s=ground.settings.redis_timeout_s),
        declared=declared_directory(ground.settings),
        models=models,
    )
    keys = Keys(
        callers=callers, reader=reader, registrar=registry, teams=registry, trail=trail, clock=ground.clock
    )
    erasure = Erasure(
        callers=callers,
        reader=reader,
        keys=registry,
        ledger=ledger,
        listing=references,
        references=references,
        trail=trail,
        telemetry=ground.telemetry,
    )
    return Administration(
        callers=callers,
        reader=reader,
        registrar=registry,
        keys=keys,
        erasure=erasure,
        trail=trail,
        acts=registry,
    )


def make_usage(ground: Ground) -> Usage:
    """Return the use case that sums up the ledger."""
    ledger = _ledger(ground)
    return Usage(ledger=ledger, known=ledger, clock=ground.clock)


def make_purging(ground: Ground) -> Purging:
    """Return the use case that counts and purges stored images."""
    references = _references(ground)
    return Purging(
        known=references,
        listing=references,
        references=references,
        audit=make_registry(ground),
        clock=ground.clock,
        telemetry=ground.telemetry,
    )


def _ledger(ground: Ground) -> RedisLedger:
    return RedisLedger(ground.redis, clock=ground.clock, timeout_s=ground.settings.redis_timeout_s)


def _references(ground: Ground) -> RedisReferences:
    return RedisReferences(ground.redis, clock=ground.clock, timeout_s=ground.settings.redis_timeout_s)
