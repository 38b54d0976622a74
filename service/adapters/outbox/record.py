"""Write settlements as the JSON of outbox files, and read them back.

The form is flat and stays as it is: a gateway may read the files of an earlier version.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

from service.domain.callers import Caller, Policy, Scope
from service.domain.images import Image, Operation, Realm
from service.domain.limits import Limit
from service.domain.order import Idempotency, Origin, Price, Ticket
from service.ports.admission import Conclusion, Settlement


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """The content of a file; *scopes* are names and keys."""

    id: str
    part: str
    fence: str
    team: str
    user: str
    model: str
    realm: Realm
    pool: str | None
    limits: tuple[Limit, ...]
    made: tuple[tuple[int | None, Image], ...]
    released: tuple[int, ...]
    refunded: int
    unknown: int
    forgotten: tuple[tuple[int, str], ...]
    scopes: tuple[tuple[Literal["user", "key", "team"], str], ...]
    weight: int
    estimate_microusd: int | None
    origin: Origin | None
    unstored: tuple[str, ...]
    idempotency: Idempotency | None
    is_last: bool
    conclusion: Conclusion | None


_RECORD = TypeAdapter(_Record)


def encode_settlement(settlement: Settlement) -> bytes:
    """Return the content of the file for *settlement*."""
    ticket = settlement.ticket
    return _RECORD.dump_json(
        _Record(
            id=ticket.id,
            part=settlement.part,
            fence=settlement.fence,
            team=ticket.caller.team,
            user=ticket.caller.user,
            model=ticket.model,
            realm=ticket.realm,
            pool=ticket.pool,
            limits=ticket.limits,
            made=settlement.made,
            released=settlement.released,
            refunded=settlement.refunded,
            unknown=settlement.unknown,
            forgotten=settlement.forgotten,
            scopes=tuple((scope.name, scope.key) for scope in ticket.caller.scopes),
            weight=ticket.price.weight,
            estimate_microusd=ticket.price.microusd,
            origin=ticket.origin,
            unstored=settlement.unstored,
            idempotency=ticket.idempotency,
            is_last=settlement.is_last,
            conclusion=settlement.conclusion,
        )
    )


def decode_settlement(content: bytes) -> Settlement:
    """Return the settlement of a file; raises pydantic's `ValidationError`.

    Its caller has no more than names: the limits that judged the order are the ticket's own.
    """
    record = _RECORD.validate_json(content)
    scopes = tuple(Scope(name=name, key=key, policy=_NO_LIMITS) for name, key in record.scopes)
    ticket = Ticket(
        id=record.id,
        caller=Caller(team=record.team, user=record.user, scopes=scopes),
        model=record.model,
        realm=record.realm,
        pool=record.pool,
        limits=record.limits,
        price=Price(record.weight, record.estimate_microusd),
        origin=record.origin or _NO_ORIGIN,
        idempotency=record.idempotency,
    )
    return Settlement(
        ticket=ticket,
        part=record.part,
        fence=record.fence,
        made=record.made,
        released=record.released,
        refunded=record.refunded,
        unknown=record.unknown,
        forgotten=record.forgotten,
        unstored=record.unstored,
        is_last=record.is_last,
        conclusion=record.conclusion,
    )


_NO_LIMITS = Policy()
_NO_ORIGIN = Origin(asked_model="", operation=Operation.GENERATE, fingerprint="")
"""Of settlements that an earlier version wrote for images of others."""
