"""An administration over a real Redis, as the gateway and the command line put it together."""

from collections.abc import Mapping
from dataclasses import dataclass

from redis.asyncio import Redis

from service.adapters.redis.callers import RedisCallers
from service.adapters.redis.ledger import RedisLedger
from service.adapters.redis.notices import RedisNotices
from service.adapters.redis.references import RedisReferences
from service.adapters.system import SystemClock
from service.domain.callers import Directory, Policy, Team
from service.gateway.administration import Administration
from service.gateway.callers import Callers, Credentials
from service.gateway.usage import Usage
from tests.fakes.telemetry import FakeTelemetry

MODELS = frozenset({"dall-e-3", "gpt-image-2"})
TOKEN_KEY, PERSON_KEY = b"t" * 32, b"p" * 32


@dataclass(frozen=True, slots=True)
class Office:
    """An administration and what it works with."""

    administration: Administration
    callers: Callers
    usage: Usage
    ledger: RedisLedger
    book: RedisCallers
    telemetry: FakeTelemetry


def open_office(client: Redis, *, declared: Directory | None = None) -> Office:
    """Return an administration over *client*, patient enough for a busy machine."""
    clock, telemetry = SystemClock(), FakeTelemetry()
    book = RedisCallers(client, timeout_s=2.0)
    ledger = RedisLedger(client, clock=clock, timeout_s=2.0)
    declared = declared or Directory()
    callers = Callers(
        credentials=Credentials(
            takes_keys=True, takes_jwt=False, token_keys=(TOKEN_KEY,), person_key=PERSON_KEY
        ),
        book=book,
        verifier=None,
        declared=declared,
        default_policy=Policy(),
        clock=clock,
    )
    administration = Administration(
        callers=callers,
        book=book,
        registrar=book,
        ledger=ledger,
        references=RedisReferences(client, clock=clock, timeout_s=2.0),
        notices=RedisNotices(client, timeout_s=2.0),
        declared=declared,
        models=MODELS,
        clock=clock,
        telemetry=telemetry,
    )
    return Office(administration, callers, Usage(ledger=ledger, clock=clock), ledger, book, telemetry)


def declare(*entries: Policy | Team) -> Directory:
    """Return what a configuration file with *entries* declares."""
    policies: Mapping[str, Policy] = {each.name: each for each in entries if isinstance(each, Policy)}
    teams: Mapping[str, Team] = {each.name: each for each in entries if isinstance(each, Team)}
    return Directory(policies=policies, teams=teams)
