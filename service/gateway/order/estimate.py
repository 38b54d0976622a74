"""Estimate an order that is not given: its price, the room of its caller's limits, and the reason to refuse it.

Spends nothing, writes nothing and counts against no limit. Failure behaviour: closed, as the rest of a limit is unknown
without Redis.
"""

from dataclasses import dataclass, replace

from service.domain.errors import GatewayError, InvalidOrder, LimitState, ModelNotAllowed, PriceUnknown
from service.domain.images import InputImage, Realm
from service.domain.order import ImageOrder
from service.gateway.admission.allowance import Allowance, find_refusal
from service.gateway.order.accept import Acceptance

_EDGE = 1024
"""Width and height of the images that stand for those of an order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The estimate of an order, if none of its images is cached.

    *microusd* is its highest expected price, None if unknown; *weight* the number that its images count for. *refusal* is
    the error with which it would be refused now, as far as reading tells.
    """

    sent_model: str
    realm: Realm
    microusd: int | None
    weight: int
    limits: tuple[LimitState, ...]
    refusal: GatewayError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimates:
    """Estimates orders by the rules that they would be accepted by."""

    acceptance: Acceptance
    allowance: Allowance

    async def make(self, order: ImageOrder, inputs: int) -> Estimate:
        """Return the estimate of *order*, whose *inputs* images are not there; its prompt may be missing.

        Raises:
            InvalidOrder: it breaks the model's contract.
            StateUnavailable: the room of its caller's limits is unknown.
            Unauthenticated, PermissionDenied: as for an order, its key was revoked or its team closed.
        """
        order = replace(order, inputs=(self._stand_in(order),) * inputs)
        sent, price = self.acceptance.appraise(order, needs_prompt=False)
        limits = await self.allowance.read(order.caller)
        try:
            self.acceptance.check_policies(order, sent, price)
        except (InvalidOrder, ModelNotAllowed, PriceUnknown) as error:
            refusal: GatewayError | None = error
        else:
            refusal = find_refusal(limits, order.n, price)
        return Estimate(
            sent_model=sent.target.name,
            realm=self.acceptance.realm,
            microusd=None if price.microusd is None else order.n * price.microusd,
            weight=order.n * price.weight,
            limits=limits,
            refusal=refusal,
        )

    def _stand_in(self, order: ImageOrder) -> InputImage:
        """Return an image that the model of *order* takes."""
        rule = self.acceptance.as_ordered(order.asked).contract.inputs
        return InputImage(
            role="image",
            digest="",
            format=next(iter(rule.formats), "png"),
            width=_EDGE,
            height=_EDGE,
            size_bytes=1,
            has_alpha=rule.needs_alpha,
            path="",
        )
