"""Fan out the calls of an order, concurrent but bounded, and settle each by itself.

A failed call is a value and never cancels its siblings, which are being paid for.
Each call's images are published as soon as they are stored, so that a process
that dies in the middle of an order loses only its calls in flight.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field

from service.domain.catalog import Model
from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.images import (
    CallFailed,
    CallMade,
    Delivery,
    Image,
    ImageCall,
    ImageOrder,
    ImageReady,
    PartialReady,
    Realm,
    SentOrder,
    Source,
)
from service.gateway.admission.shared import SharedState
from service.gateway.order.attempt import NOT_SENT, Attempts, Exposure, Show
from service.gateway.order.keep import Keeper, Kept
from service.gateway.order.runner import RunningOrder
from service.gateway.order.waiting import Flights, Landing
from service.ports.admission import Ask, Origin, Settlement
from service.ports.clock import Clock
from service.ports.telemetry import CostSettled, Telemetry


@dataclass(frozen=True, slots=True)
class Seats:
    """The part of an order that one call makes: places in the answer and indices in the pool, pairwise."""

    places: tuple[int, ...]
    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An admitted order as its calls need it. *ask* obtained the indices."""

    order: ImageOrder
    sent: SentOrder
    model: Model
    ask: Ask
    origin: Origin
    realm: Realm
    safety_identifier: str


@dataclass(slots=True, kw_only=True)
class Dispatcher:
    """Makes the calls of orders at one backend, at most *max_calls* at a time."""

    attempts: Attempts
    keeper: Keeper
    state: SharedState
    flights: Flights
    telemetry: Telemetry
    clock: Clock
    max_calls: InitVar[int]
    _slots: asyncio.Semaphore = field(init=False)

    def __post_init__(self, max_calls: int) -> None:
        self._slots = asyncio.Semaphore(max_calls)

    async def make(self, job: Job, seats: Seats, running: RunningOrder) -> list[CallFailure]:
        """Make one call of *job* for *seats*, settle it and report it; returns its failures."""
        exposure = Exposure(show=self._show(seats.places[0], running))
        if seats.indices[0] < 0:
            killed = self._settlement(job, seats, [_CUT_OFF] * len(seats.places))
            self.state.foretell(killed, until_s=job.order.deadline_s)
        try:
            result = await self._call(job, seats, exposure)
            if isinstance(result, CallFailure):
                kept: list[Kept | CallFailure] = [result] * len(seats.places)
            else:
                kept = await self._keep(job, result, len(seats.places))
            settlement = self._settlement(job, seats, kept)
        except BaseException:
            # The drain time is over, or there is a bug: either way no claim may remain.
            cut_off = _CUT_OFF if exposure.may_be_billed else NOT_SENT
            self.state.finish_later(self._settlement(job, seats, [cut_off] * len(seats.places)))
            raise
        await self.state.finish(settlement)
        return self._tell(job, seats, kept, running)

    async def give_back(self, job: Job, seats: Seats, running: RunningOrder, failure: CallFailure) -> None:
        """Return *seats* unused, because of *failure*, before anything was sent."""
        kept: list[Kept | CallFailure] = [failure] * len(seats.places)
        await self.state.finish(self._settlement(job, seats, kept))
        self._tell(job, seats, kept, running)

    def give_up(self, job: Job, seats: Seats) -> None:
        """Return *seats* unused without waiting: for an order that is cut short before dispatch."""
        self.state.finish_later(self._settlement(job, seats, [NOT_SENT] * len(seats.places)))

    def _show(self, place: int, running: RunningOrder) -> Show:
        def show(number: int, data: bytes, resolved: Mapping[str, str]) -> None:
            shown_at_s = self.clock.wall_s()
            running.emit(
                PartialReady(
                    position=place, number=number, data=data, shown_at_s=shown_at_s, resolved=resolved
                )
            )

        return show

    async def _call(self, job: Job, seats: Seats, exposure: Exposure) -> CallMade | CallFailure:
        call = ImageCall(
            model=job.sent.model,
            prompt=job.sent.prompt_for(seats.indices[0]),
            n=len(seats.places),
            parameters=job.sent.parameters,
            safety_identifier=job.safety_identifier,
            operation=job.sent.operation,
            inputs=job.sent.inputs,
            # A stream does not say which of several images a stage belongs to.
            partial_images=job.order.partial_images if len(seats.places) == 1 else 0,
        )
        try:
            async with self.clock.timeout_at(job.order.deadline_s):
                await self._slots.acquire()
        except TimeoutError:
            return NOT_SENT
        try:
            return await self.attempts.make(call, deadline_s=job.order.deadline_s, exposure=exposure)
        finally:
            self._slots.release()

    async def _keep(self, job: Job, made: CallMade, n: int) -> list[Kept | CallFailure]:
        kept = await self.keeper.keep(made, job.sent, job.model)
        return kept[:n] + [_TOO_FEW] * (n - len(kept))

    def _settlement(self, job: Job, seats: Seats, kept: list[Kept | CallFailure]) -> Settlement:
        """Return the outcome of each seat; an image that is not stored is not published."""
        published: list[tuple[int | None, Image]] = []
        unstored: list[str] = []
        released: list[int] = []
        refunded = unknown = 0
        for index, entry in zip(seats.indices, kept, strict=True):
            if isinstance(entry, Kept) and entry.is_stored and job.ask.pool:
                # Indices of a local share mean nothing in Redis: any free one will do.
                published.append((index, entry.image))
            elif isinstance(entry, Kept):
                published.append((None, entry.image))
                released.append(index)
                if not entry.is_stored:
                    unstored.append(entry.image.digest)
            else:
                released.append(index)
                refunded += entry.billing is Billing.NOT_BILLED
                unknown += entry.billing is Billing.UNKNOWN
        return Settlement(
            id=job.ask.id,
            part=f"{job.ask.round}.{seats.places[0]}",
            fence=job.ask.fence,
            team=job.ask.team,
            user=job.ask.user,
            model=job.sent.model,
            realm=job.realm,
            pool=job.ask.pool,
            limits=job.ask.limits,
            made=tuple(published),
            released=tuple(released),
            refunded=refunded,
            unknown=unknown,
            scopes=job.ask.scopes,
            weight=job.ask.weight,
            estimate_microusd=job.ask.estimate_microusd,
            origin=job.origin,
            unstored=tuple(unstored),
            idempotency=job.ask.idempotency,
        )

    def _tell(
        self, job: Job, seats: Seats, kept: list[Kept | CallFailure], running: RunningOrder
    ) -> list[CallFailure]:
        """Report to the order's reader and to waiters for the same images; returns the failures."""
        failures: list[CallFailure] = []
        for place, index, entry in zip(seats.places, seats.indices, kept, strict=True):
            if isinstance(entry, Kept):
                landing = Landing(image=entry.image, data=entry.data, is_stored=entry.is_stored)
                self.telemetry.record(
                    CostSettled(model=job.sent.model, realm=job.realm, microusd=entry.image.cost_microusd)
                )
            else:
                # Only failures that any order would meet are shared; after others, waiters try for themselves.
                landing = Landing(failure=entry if entry.is_callers_own else None)
            delivered = _by_delivery(entry, job.order.delivery)
            if isinstance(delivered, CallFailure):
                failures.append(delivered)
                running.emit(CallFailed(positions=(place,), failure=delivered))
            else:
                running.emit(
                    ImageReady(position=place, image=delivered.image, source=Source.MADE, data=delivered.data)
                )
            if job.ask.pool and landing.image is None and landing.failure is None:
                self.flights.wake(job.ask.pool, index)
            elif job.ask.pool:
                self.flights.land(job.ask.pool, index, landing)
        return failures


def _by_delivery(entry: Kept | CallFailure, delivery: Delivery) -> Kept | CallFailure:
    """Return *entry* for a caller who wants it by *delivery*: without a stored image there is no link."""
    if isinstance(entry, Kept) and not entry.is_stored and delivery is Delivery.URL:
        return _NOT_KEPT
    return entry


_TOO_FEW = CallFailure(
    kind=FailureKind.BROKEN,
    billing=Billing.UNKNOWN,
    message="The image provider returned fewer images than asked.",
)
_NOT_KEPT = CallFailure(
    kind=FailureKind.NOT_KEPT,
    billing=Billing.BILLED,
    message="The image was made, but the store failed, so there is no link to it.",
)
_CUT_OFF = CallFailure(
    kind=FailureKind.TIMED_OUT,
    billing=Billing.UNKNOWN,
    message="The gateway stopped while the image provider was still working.",
)
