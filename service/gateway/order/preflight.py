"""Find a reason not to pay for an order: checked once it has its indices, before any call takes its turn.

Failure behaviour: an unwritable store refuses orders for links, not for base64; a moderator that fails passes
the prompt.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.domain.errors import StoreUnavailable
from service.domain.failures import CallFailure
from service.domain.images import Delivery
from service.domain.order import ImageOrder, SentOrder, Ticket
from service.gateway.order.refusals import RefusedOrders
from service.gateway.queue.queue import CallQueue
from service.gateway.queue.turn import Turn
from service.ports.provider import Moderator
from service.ports.store import ImageStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """Checks orders before their calls; without a *moderator* every prompt passes."""

    store: ImageStore
    refusals: RefusedOrders
    queue: CallQueue
    moderator: Moderator | None = None

    async def check(
        self, order: ImageOrder, sent: SentOrder, ticket: Ticket, turns: Sequence[Turn], *, is_judged: bool
    ) -> StoreUnavailable | CallFailure | None:
        """Return a reason not to make the calls of *turns*; *is_judged* skips the moderator, who passed the prompt."""
        if order.delivery is Delivery.URL and not await self.store.is_writable():
            return StoreUnavailable()
        refusal = self.refusals.find(_name_of(ticket)) if order.cache.reuse else None
        refusal = refusal or self.queue.find_refusal(turns)
        if refusal is None and self.moderator is not None and order.prompt and not is_judged:
            refusal = await self.moderator.judge(sent.prompt, deadline_s=order.deadline_s)
            if refusal is not None:
                self.refusals.note(_name_of(ticket), refusal)
        return refusal

    def remember(self, ticket: Ticket, failures: Iterable[CallFailure]) -> None:
        """Remember that an order was refused as a whole; a refusal of one image among several predicts nothing."""
        for failure in failures:
            self.refusals.note(_name_of(ticket), failure)


def _name_of(ticket: Ticket) -> str:
    """Name equal orders of one team."""
    return f"{ticket.caller.team} {ticket.origin.fingerprint}"
