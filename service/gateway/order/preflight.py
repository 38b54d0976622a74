"""Find a reason not to pay for an order: checked once it has its indices, before any call is sent.

Failure behaviour: a store that cannot take an image is an obstacle to links, not to
bytes; the operator chooses the outcome when the moderator itself fails.
"""

from dataclasses import dataclass

from service.domain.errors import GatewayError, StoreUnavailable
from service.domain.images import Delivery
from service.gateway.order.progress import Progress
from service.gateway.order.refusals import Refusals
from service.ports.provider import Moderator
from service.ports.store import ImageStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacles:
    """Obstacles between an order and its calls; without a *moderator* every prompt passes."""

    store: ImageStore
    refusals: Refusals
    moderator: Moderator | None = None

    async def find(self, progress: Progress) -> GatewayError | None:
        """Return the reason not to make the calls, or None."""
        order = progress.order
        if progress.error is not None:
            return progress.error
        if progress.running.is_abandoned:
            return GatewayError("The caller went away.")
        if order.delivery is Delivery.URL and not await self.store.is_writable():
            return StoreUnavailable()
        refusal = self.refusals.find(progress.accepted.memory) if order.cache.reuse else None
        if refusal is not None:
            return progress.failed([refusal])
        if self.moderator is not None and order.prompt and not progress.is_dispatched:
            refusal = await self.moderator.judge(progress.accepted.sent.prompt, deadline_s=order.deadline_s)
            if refusal is not None:
                self.refusals.note(progress.accepted.memory, refusal)
                return progress.failed([refusal])
        return None

    def remember(self, progress: Progress) -> None:
        """Remember that an order was refused as a whole: one refusal of several predicts nothing."""
        if progress.filled == 0:
            for failure in progress.failures:
                self.refusals.note(progress.accepted.memory, failure)
