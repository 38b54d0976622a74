"""Make one call of an order at its turn, keep its images and settle it.

A failed call is a value and never cancels its siblings, which are being paid for. Each call's images
are published as soon as they are stored: a process that dies in mid-order loses only its calls in flight.
"""

import asyncio
import contextlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from service.domain.catalog import pixels_of
from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.fanout import split_order
from service.domain.images import CallMade, Image, ImageCall
from service.domain.order import ImageOrder, SentOrder, Ticket
from service.domain.progress import CallTimes
from service.gateway.admission.shared import SharedState
from service.gateway.order.attempt import NOT_SENT, Attempts, Exposure, Show
from service.gateway.order.keep import Keeper, Kept, Outcome, billing_of_missing
from service.gateway.queue.durations import Kind
from service.gateway.queue.queue import CallQueue
from service.gateway.queue.turn import Turn
from service.gateway.queue.turns import Person
from service.ports.admission import Ask, Grant, Settlement

_MOST_IMAGES = (1, 4)
"""The most images of a call of each class but the last: those of a class take about as long as each other."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The part of an order that one call makes: places in the answer and indices in the pool, pairwise."""

    places: tuple[int, ...]
    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CallEnd:
    """The end of one call: the outcome for each of its places, its *attempts*, and its time in each stage."""

    outcomes: list[Outcome]
    attempts: int
    times: CallTimes


@dataclass(slots=True, kw_only=True)
class Maker:
    """Makes the calls of orders, as the *queue* has them take turns."""

    queue: CallQueue
    attempts: Attempts
    keeper: Keeper
    state: SharedState

    async def make(
        self, order: ImageOrder, sent: SentOrder, ask: Ask, batch: Batch, turn: Turn, show: Show
    ) -> CallEnd:
        """Make the call of *batch* at its *turn*; *ask* obtained its indices.

        *show* takes the stages of its image. A call that is cut off is an outcome, too.
        """
        exposure = Exposure(show=show)
        outcomes = await self._make(order, sent, ask, batch, turn, exposure)
        times = CallTimes(turn.waited_s, exposure.upstream_s, exposure.store_s)
        return CallEnd(outcomes, exposure.attempts, times)

    async def _make(
        self, order: ImageOrder, sent: SentOrder, ask: Ask, batch: Batch, turn: Turn, exposure: Exposure
    ) -> list[Outcome]:
        n = len(batch.places)
        try:
            # Without a name: the settlement below may wait, and megabytes with it.
            outcomes = await self._keep(
                await self._call(order, sent, ask, batch, turn, exposure), sent, order, turn, exposure, n
            )
            settlement = _settle(ask, batch, outcomes, *_maker_of(sent, turn))
        except BaseException as error:
            # The drain time is over, or there is a bug: in either case no claim may remain.
            outcomes = [_CUT_OFF if exposure.may_be_billed else NOT_SENT] * n
            self.state.finish_later(_settle(ask, batch, outcomes, *_maker_of(sent, turn)))
            if not isinstance(error, asyncio.CancelledError):
                raise
            # The order needs to know if it may have been billed; its own cancellation goes on.
            return outcomes
        with contextlib.suppress(asyncio.CancelledError):
            # Cut off here or before, it is settled through the journal.
            if _is_cut_off():
                self.state.finish_later(settlement)
            else:
                await self.state.finish(settlement)
        return outcomes

    def make_turns(
        self,
        order: ImageOrder,
        sent: SentOrder,
        ask: Ask,
        batches: Iterable[Batch],
        is_wanted: Callable[[Batch], bool],
    ) -> list[Turn]:
        """Return the turn of each call; the queue drops one whose batch *is_wanted* no more."""
        ticket, quality = ask.ticket, str(sent.parameters.get("quality", "auto"))
        size = pixels_of(sent.target, sent.parameters.get("size")).bit_length()
        held_bytes = len(sent.prompt) + sum(each.size_bytes for each in order.inputs)
        route = self.queue.routing.route(*[(form.backends, form.target.name) for form in _forms_of(sent)])
        return [
            Turn(
                kind=Kind(
                    model=sent.target.name,
                    operation=sent.operation,
                    quality=quality,
                    size=size,
                    images=bisect_left(_MOST_IMAGES, len(batch.places)),
                ),
                route=route,
                owners=[Person(ticket.caller.team, ticket.caller.user)],
                images=len(batch.places),
                deadline_s=order.deadline_s,
                is_hurried=order.is_hurried,
                held_bytes=held_bytes * len(batch.places) // order.n,
                pool_indices=tuple([(ticket.pool, index) for index in batch.indices]) if ticket.pool else (),
                is_wanted=partial(is_wanted, batch),
            )
            for batch in batches
        ]

    def share_turns(self, ticket: Ticket, indices: Iterable[int], deadline_s: float) -> None:
        """Let the calls of others that make *indices* for *ticket*, too, take its caller's turn if that comes first, and its time."""
        images = [(ticket.pool or "", index) for index in indices]
        self.queue.share_turns(images, Person(ticket.caller.team, ticket.caller.user), deadline_s)

    async def give_back(self, ask: Ask, batches: Sequence[Batch]) -> None:
        """Return *batches* unused, before anything was sent."""
        left = list(batches)
        try:
            while left:
                await self.state.finish(_settle_unsent(ask, left.pop(0)))
        except BaseException:
            # The one under way settles by itself; only this frame knows of the others.
            self.give_up(ask, left)
            raise

    def give_up(self, ask: Ask, batches: Iterable[Batch]) -> None:
        """Return *batches* unused without waiting, for an order that is cut short."""
        for batch in batches:
            self.state.finish_later(_settle_unsent(ask, batch))

    def give_up_surplus(self, ask: Ask, grant: Grant, n: int) -> Grant:
        """Give back the indices that *ask* does not need, and return the rest of *grant*; *n* is the order's.

        A repeated ask may resume images for which the lost first answer claimed indices.
        """
        most = max(0, ask.n - len(grant.ready))
        surplus = grant.mine[most:]
        if not surplus:
            return grant
        # Numbered after the places of the answer, as they have none.
        self.give_up(ask, [Batch(tuple(range(n, n + len(surplus))), surplus)])
        return replace(grant, mine=grant.mine[:most])

    async def _call(
        self,
        order: ImageOrder,
        sent: SentOrder,
        ask: Ask,
        batch: Batch,
        turn: Turn,
        exposure: Exposure,
    ) -> CallMade | CallFailure:
        forms = [_call_of(form, order, ask, batch) for form in _forms_of(sent)]
        try:
            refusal = await self.queue.take_turn(turn)
            if refusal is None and not await self._may_book(ask, batch, sent, turn):
                refusal = _UNWRITTEN
            if refusal is not None:
                return refusal
            return await self.attempts.make(forms, turn, exposure)
        finally:
            self.queue.end(turn)

    async def _may_book(self, ask: Ask, batch: Batch, sent: SentOrder, turn: Turn) -> bool:
        """Tell if the call of *batch* will be booked in any case, also if this process is killed in mid-call."""
        if batch.indices[0] >= 0:
            return True
        outcomes: list[Outcome] = [_CUT_OFF] * len(batch.places)
        return await self.state.pending.write_ahead(_settle(ask, batch, outcomes, *_maker_of(sent, turn)))

    async def _keep(
        self,
        made: CallMade | CallFailure,
        sent: SentOrder,
        order: ImageOrder,
        turn: Turn,
        exposure: Exposure,
        n: int,
    ) -> list[Outcome]:
        if isinstance(made, CallFailure):
            return [made] * n
        # Surplus images are given to no caller, and the others carry their price.
        paid = made if len(made.images) <= n else replace(made, images=made.images[:n])
        started_s = self.keeper.clock.monotonic_s()
        form, backend = _maker_of(sent, turn)
        kept = await self.keeper.keep(paid, form, order, deadline_s=turn.deadline_s, backend=backend)
        exposure.store_s = self.keeper.clock.monotonic_s() - started_s
        if len(kept) == n:
            return kept
        too_few = replace(_TOO_FEW, billing=billing_of_missing(made, kept))
        return kept + [too_few] * (n - len(kept))


def _forms_of(sent: SentOrder) -> list[SentOrder]:
    """Return the forms in which backends may make an order, the preferred first."""
    return [sent] if sent.fallback is None else [sent, sent.fallback]


def _maker_of(sent: SentOrder, turn: Turn) -> tuple[SentOrder, str]:
    """Return the form in which the call was made, and the backend that made it: an empty name if none was asked."""
    course = turn.course
    return (_forms_of(sent)[course.rank], course.key.name.backend) if course else (sent, "")


def _call_of(form: SentOrder, order: ImageOrder, ask: Ask, batch: Batch) -> ImageCall:
    return ImageCall(
        model=form.target.name,
        prompt=form.prompt_for(batch.indices[0]),
        n=len(batch.places),
        parameters=form.parameters,
        safety_identifier=ask.ticket.safety_identifier,
        operation=form.operation,
        inputs=form.inputs,
        # A stream does not tell the stages of several images apart.
        partial_images=form.partial_images if len(batch.places) == 1 else 0,
        holder=order.caller.holder,
    )


def split_batch(batch: Batch, most: int) -> list[Batch]:
    """Split *batch* into one for each call, of at most *most* images."""
    groups = zip(split_order(batch.places, most), split_order(batch.indices, most), strict=True)
    return [Batch(places, indices) for places, indices in groups]


def _is_cut_off() -> bool:
    """Tell if the call was cut off, and has kept what had arrived all the same."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _settle_unsent(ask: Ask, batch: Batch) -> Settlement:
    return _settle(ask, batch, [NOT_SENT] * len(batch.places))


def _settle(
    ask: Ask, batch: Batch, outcomes: list[Outcome], form: SentOrder | None = None, backend: str = ""
) -> Settlement:
    """Return the settlement of *batch*, called in *form* at *backend*; an image that is not stored is not published."""
    made: list[tuple[int | None, Image]] = []
    unstored: list[str] = []
    released: list[int] = []
    refunded = unknown = 0
    for index, outcome in zip(batch.indices, outcomes, strict=True):
        if isinstance(outcome, Kept) and outcome.is_stored and ask.ticket.pool:
            # Redis replaces an index of a local share by a free one.
            made.append((index, outcome.image))
        elif isinstance(outcome, Kept):
            made.append((None, outcome.image))
            released.append(index)
            if not outcome.is_stored:
                unstored.append(outcome.image.digest)
        else:
            released.append(index)
            refunded += outcome.billing is Billing.NOT_BILLED
            unknown += outcome.billing is Billing.UNKNOWN
    return Settlement(
        ticket=ask.ticket,
        part=f"{ask.round}.{batch.places[0]}",
        fence=ask.fence,
        made=tuple(made),
        released=tuple(released),
        refunded=refunded,
        unknown=unknown,
        unstored=tuple(unstored),
        backend=backend,
        model=form.target.name if form else "",
    )


_TOO_FEW = CallFailure(
    kind=FailureKind.BROKEN,
    billing=Billing.UNKNOWN,
    message="The image provider returned fewer images than asked.",
)
_UNWRITTEN = CallFailure(
    kind=FailureKind.NOT_SENT,
    billing=Billing.NOT_BILLED,
    message="Neither Redis nor the gateway's journal takes what an image costs, so none is made; nothing was spent.",
    code="state_unavailable",
)
_CUT_OFF = CallFailure(
    kind=FailureKind.TIMED_OUT,
    billing=Billing.UNKNOWN,
    message="The gateway stopped while the image provider was still working.",
)
