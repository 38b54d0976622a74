"""Check, translate, price and name an order before it runs.

Asks no other service and spends nothing. Failure behaviour: closed; an order that a policy forbids,
or without a known price while its caller has a budget, is refused.
"""

from collections.abc import Callable
from dataclasses import dataclass

from service.domain import bridge
from service.domain.callers import CacheScope, check_budgets, check_policies
from service.domain.catalog import Catalog, Model, pixels_of
from service.domain.errors import PriceUnknown
from service.domain.fingerprint import fingerprint_order, identify_order, keyed_hash
from service.domain.images import Realm
from service.domain.order import ImageOrder, Origin, Price, SentOrder, Ticket
from service.domain.pricing import estimate_sent, weigh_image
from service.ports.clock import Calendar

PoolKey = Callable[[str, str, str], str]
"""Names a pool in the shared state by its team, its scope within the team, and its fingerprint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderKeys:
    """Keys for the hashes of orders and people; each is derived for its one purpose."""

    fingerprint: bytes
    person: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Pools:
    """The cache: *key* names its pools, *scope* is the default for the callers who share one."""

    key: PoolKey
    scope: CacheScope


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """Decides if an order may run.

    *pools* None switches the cache off; *counts_unpriced* lets callers with a budget order models
    without a known price.
    """

    catalog: Catalog
    keys: OrderKeys
    realm: Realm
    clock: Calendar
    pools: Pools | None
    pass_unknown: bool = False
    counts_unpriced: bool = False

    def accept(self, order: ImageOrder) -> tuple[SentOrder, Ticket]:
        """Check and translate *order*.

        Raises:
            InvalidOrder: it breaks the model's contract, or a policy or budget of the caller.
            ModelNotAllowed: a policy of the caller does not list the model.
            PriceUnknown: the caller has a budget and the model has no price.
        """
        caller = order.caller
        sent, price = self.appraise(order)
        self.check_policies(order, sent, price)
        scope = self._scope(order)
        fingerprint = fingerprint_order(self.keys.fingerprint, order.operation, sent, self.realm)
        pool = self.pools.key(caller.team, scope, fingerprint) if self.pools and scope else None
        return sent, Ticket(
            id=order.id,
            caller=caller,
            model=sent.target.name,
            realm=self.realm,
            pool=pool,
            limits=caller.limits,
            price=price,
            origin=Origin(
                asked_model=order.asked.name,
                operation=order.operation,
                fingerprint=fingerprint,
                parents=tuple([entry.digest for entry in order.inputs]),
                is_brief=not order.cache.keep,
            ),
            idempotency=identify_order(self.keys.person, order),
            fans_out=pool is not None and order.fans_out,
            safety_identifier=keyed_hash(self.keys.person, f"{caller.user} {order.safety_identifier or ''}"),
        )

    def appraise(self, order: ImageOrder, *, needs_prompt: bool = True) -> tuple[SentOrder, Price]:
        """Check *order* by its model's contract, translate it, and return the price of an image; raises `InvalidOrder`."""
        sent = bridge.translate(
            self.catalog,
            order,
            self.clock.today(),
            pass_unknown=self.pass_unknown,
            needs_prompt=needs_prompt,
        )
        return sent, Price(weigh_image(sent.target, sent.parameters), estimate_sent(sent))

    def as_ordered(self, model: Model) -> Model:
        """Return *model* as callers may order it now."""
        return self.catalog.as_ordered(model, self.clock.today())

    def check_policies(self, order: ImageOrder, sent: SentOrder, price: Price) -> None:
        """Check the asked model, number, size and price against the caller's policies; raises as `accept` does."""
        check_policies(
            order.caller,
            model=order.asked.name,
            n=order.n,
            pixels=pixels_of(order.asked, order.parameters.get("size")),
            weight=price.weight,
        )
        if price.microusd is None and order.caller.has_budget and not self.counts_unpriced:
            raise PriceUnknown(sent.target.name)
        check_budgets(order.caller, order.n, price.microusd or 0)

    def _scope(self, order: ImageOrder) -> str | None:
        """Return the scope of the order's pool; None keeps it out of the cache."""
        return order.caller.pool_scope(self.pools.scope) if self.pools and order.cache.keep else None
