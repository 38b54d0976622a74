"""Check, translate, price and name an order before it runs.

Asks no other service and spends nothing. Failure behaviour: closed; an order that a policy
forbids, or that has no known price while its caller has a budget, is refused.
"""

from collections.abc import Callable
from dataclasses import dataclass

from service.domain import bridge
from service.domain.callers import check_budgets, check_policies
from service.domain.catalog import Catalog, Model, pixels_of
from service.domain.errors import PriceUnknown
from service.domain.fingerprint import fingerprint_order, identify_order, keyed_hash
from service.domain.images import Idempotency, ImageOrder, Realm, SentOrder
from service.domain.pricing import estimate_sent, weigh_image
from service.ports.admission import Origin
from service.ports.clock import Calendar

PoolName = Callable[[ImageOrder, str], str]
"""Names the pool of a fingerprint within the order's cache scope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderKeys:
    """Keys for the hashes of orders and people; each is derived for its one purpose."""

    fingerprint: bytes
    person: bytes


@dataclass(frozen=True, slots=True)
class Price:
    """The estimate for one image and its weight; *microusd* None is an unknown price."""

    weight: int
    microusd: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """An accepted order and the names it runs under.

    *asked* and *target* are the models of *order* and of *sent*. *pool* None keeps the
    order out of the cache; *memory* names it among remembered refusals. *safety_identifier*
    is the keyed hash that stands for its person at the provider.
    """

    order: ImageOrder
    sent: SentOrder
    asked: Model
    target: Model
    realm: Realm
    pool: str | None
    memory: str
    origin: Origin
    price: Price
    idempotency: Idempotency | None
    safety_identifier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """Decides whether an order may run.

    *pool_name* None switches the cache off; *counts_unpriced* lets callers with a
    budget order models without a known price.
    """

    catalog: Catalog
    keys: OrderKeys
    realm: Realm
    clock: Calendar
    pool_name: PoolName | None
    pass_unknown: bool = False
    counts_unpriced: bool = False

    def accept(self, order: ImageOrder) -> Accepted:
        """Check and translate *order*.

        Raises:
            InvalidOrder: it breaks the contract, or a policy or budget of the caller.
            ModelNotAllowed: a policy of the caller does not list the model.
            PriceUnknown: the caller has a budget and the model has no price.
        """
        sent = bridge.translate(self.catalog, order, self.clock.today(), pass_unknown=self.pass_unknown)
        asked, target = self.catalog.models[order.asked_model], self.catalog.models[sent.model]
        price = Price(weigh_image(target, sent.parameters), estimate_sent(target, sent))
        self._check_policies(order, asked, target, price)
        fingerprint = fingerprint_order(self.keys.fingerprint, order.operation, sent, self.realm)
        person = f"{order.caller.user} {order.safety_identifier or ''}"
        return Accepted(
            order=order,
            sent=sent,
            asked=asked,
            target=target,
            realm=self.realm,
            pool=self._pool(order, fingerprint),
            memory=f"{order.caller.team} {fingerprint}",
            origin=_origin(order, fingerprint),
            price=price,
            idempotency=identify_order(self.keys.person, order),
            safety_identifier=keyed_hash(self.keys.person, person),
        )

    def _check_policies(self, order: ImageOrder, asked: Model, target: Model, price: Price) -> None:
        """Check the asked model, number, size and price against the caller's policies."""
        check_policies(
            order.caller,
            model=order.asked_model,
            n=order.n,
            pixels=pixels_of(asked, order.parameters.get("size")),
            weight=price.weight,
        )
        if price.microusd is None and order.caller.has_budget and not self.counts_unpriced:
            raise PriceUnknown(target.name)
        check_budgets(order.caller, order.n, price.microusd or 0)

    def _pool(self, order: ImageOrder, fingerprint: str) -> str | None:
        may_keep = order.cache.keep and order.caller.may_cache
        return self.pool_name(order, fingerprint) if self.pool_name is not None and may_keep else None


def _origin(order: ImageOrder, fingerprint: str) -> Origin:
    return Origin(
        asked_model=order.asked_model,
        operation=order.operation,
        fingerprint=fingerprint,
        parents=tuple(entry.digest for entry in order.inputs),
        is_brief=not order.cache.keep,
    )
