"""Write settlements as the JSON of journal files, and read them back.

The flat format must not change: a gateway may read the files of an earlier version.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

from service.domain.callers import Caller, Policy, Scope
from service.domain.images import Image, Realm
from service.domain.limits import Limit
from service.domain.order import Idempotency, Origin, Price, Ticket
from service.ports.admission import Conclusion, Settlement


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """The content of a file; *model* is the ticket's, *scopes* are names and keys. Fields with a default may be absent."""

    id: str
    part: str
    fence: str
    team: str
    user: str
    model: str
    realm: Realm
    pool: str | None
    limits: tuple[Limit, ...]
    made: tuple[tuple[int | None, Image], ...] = ()
    released: tuple[int, ...] = ()
    refunded: int = 0
    unknown: int = 0
    forgotten: tuple[tuple[int, str], ...] = ()
    scopes: tuple[tuple[Literal["user", "key", "team"], str], ...] = ()
    weight: int = 1
    estimate_microusd: int | None = 0
    origin: Origin | None = None
    unstored: tuple[str, ...] = ()
    idempotency: Idempotency | None = None
    is_last: bool = False
    conclusion: Conclusion | None = None
    backend: str = ""
    sent_model: str = ""
    sent_s: float | None = None


_RECORD = TypeAdapter(_Record)
_OF_TICKET = ("id", "model", "realm", "pool", "limits", "idempotency")
_OF_SETTLEMENT = (
    *("part", "fence", "made", "released", "refunded", "unknown", "forgotten", "unstored", "is_last"),
    *("conclusion", "backend", "sent_s"),
)
"""Fields of the same name in a record."""


def encode_settlement(settlement: Settlement) -> bytes:
    """Return the content of the file for *settlement*."""
    ticket = settlement.ticket
    record = _Record(
        team=ticket.caller.team,
        user=ticket.caller.user,
        scopes=tuple((scope.name, scope.key) for scope in ticket.caller.scopes),
        weight=ticket.price.weight,
        estimate_microusd=ticket.price.microusd,
        origin=ticket.origin,
        sent_model=settlement.model,
        **_pick(ticket, _OF_TICKET),
        **_pick(settlement, _OF_SETTLEMENT),
    )
    return _RECORD.dump_json(record)


def decode_settlement(content: bytes) -> Settlement:
    """Return the settlement of a file; raises pydantic's `ValidationError`.

    Its caller has only names; the limits of the order are in the ticket.
    """
    record = _RECORD.validate_json(content)
    scopes = tuple(Scope(name=name, key=key, policy=Policy()) for name, key in record.scopes)
    ticket = Ticket(
        caller=Caller(team=record.team, user=record.user, scopes=scopes),
        price=Price(record.weight, record.estimate_microusd),
        origin=record.origin or Origin(),
        **_pick(record, _OF_TICKET),
    )
    return Settlement(ticket=ticket, model=record.sent_model, **_pick(record, _OF_SETTLEMENT))


def _pick(source: object, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(source, name) for name in names}
