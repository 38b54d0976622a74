"""What tests read from what an order told, and put where it finds it."""

from dataclasses import replace
from typing import TypeVar

from service.domain.failures import CallFailure
from service.domain.progress import ImageReady, OrderDone, OrderFact
from service.ports.admission import Variant
from tests.gateway.assembly import Assembly

Fact = TypeVar("Fact")


def of(kind: type[Fact], facts: list[OrderFact]) -> list[Fact]:
    return [fact for fact in facts if isinstance(fact, kind)]


def images(facts: list[OrderFact]) -> dict[int, tuple[str, bytes | None]]:
    return {fact.position: (fact.source.value, fact.data) for fact in of(ImageReady, facts)}


def error(facts: list[OrderFact]) -> Exception | None:
    assert isinstance(facts[-1], OrderDone)
    return facts[-1].error


def in_dalles_words(refusal: CallFailure) -> CallFailure:
    """Return the refusal as clients of the asked model, dall-e-3, know it."""
    return replace(refusal, code="content_policy_violation", type="invalid_request_error")


def keep(house: Assembly, *variants: Variant) -> None:
    """Put the bytes of *variants* into the store."""
    house.store.blobs.update({each.image.name: each.image.digest.encode() for each in variants})


def pool_of(house: Assembly) -> str:
    pool = house.book.asks[0].ticket.pool
    assert pool is not None
    return pool
