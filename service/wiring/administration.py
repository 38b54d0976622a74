"""Build the use cases of admins, for HTTP and the command line."""

from service.adapters.redis.announcements import RedisAnnouncements
from service.adapters.redis.ledger import RedisLedger
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
from service.wiring.process import ProcessContext


def make_administration(
    context: ProcessContext, callers: Callers, *, models: frozenset[str]
) -> Administration:
    """Return the administration of keys, teams and policies; *models* are those a policy may name."""
    registry, ledger, references = make_registry(context), _ledger(context), _references(context)
    trail = AuditTrail(registry, context.clock, context.telemetry)
    reader = DirectoryReader(
        book=registry,
        known=ledger,
        declarations=RedisAnnouncements(context.redis, timeout_s=context.settings.redis_timeout_s),
        declared=declared_directory(context.settings),
        models=models,
    )
    keys = Keys(
        callers=callers,
        reader=reader,
        registrar=registry,
        teams=registry,
        trail=trail,
        clock=context.clock,
        check=context.check,
    )
    erasure = Erasure(
        callers=callers,
        reader=reader,
        keys=registry,
        ledger=ledger,
        listing=references,
        references=references,
        trail=trail,
        telemetry=context.telemetry,
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


def make_usage(context: ProcessContext) -> Usage:
    ledger = _ledger(context)
    return Usage(ledger=ledger, known=ledger, clock=context.clock)


def make_purging(context: ProcessContext) -> Purging:
    references = _references(context)
    return Purging(
        known=references,
        listing=references,
        references=references,
        audit=make_registry(context),
        clock=context.clock,
        check=context.check,
        telemetry=context.telemetry,
    )


def _ledger(context: ProcessContext) -> RedisLedger:
    return RedisLedger(context.redis, clock=context.clock, timeout_s=context.settings.redis_timeout_s)


def _references(context: ProcessContext) -> RedisReferences:
    return RedisReferences(context.redis, clock=context.clock, timeout_s=context.settings.redis_timeout_s)
