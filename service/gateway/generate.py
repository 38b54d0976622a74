"""The main job: from an order to its images, by the shortest way that costs least.

Ready variants first, then what others are making, and calls only for the rest.
The whole path of one order is `_work` → `_fill`; everything else serves it.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from service.domain import bridge
from service.domain.callers import check_budgets, check_policies
from service.domain.catalog import Catalog, pixels_of
from service.domain.errors import (
    CallFailure,
    DeadlineExceeded,
    GatewayError,
    IdempotencyMismatch,
    ImageGone,
    ImageMissing,
    NotCached,
    OrderFailed,
    OrderUnderWay,
    PermissionDenied,
    PriceUnknown,
    RateLimited,
    StateUnavailable,
    StoreUnavailable,
    Unauthenticated,
)
from service.domain.fanout import split_order
from service.domain.fingerprint import fingerprint_order, identify_order, keyed_hash
from service.domain.images import (
    Admitted,
    CallFailed,
    Delivery,
    Idempotency,
    Image,
    ImageOrder,
    ImageReady,
    Realm,
    SentOrder,
    Source,
)
from service.domain.limits import limits_of
from service.domain.pricing import estimate_image, weigh_image
from service.gateway.attempts import NOT_SENT
from service.gateway.dispatch import Dispatcher, Job, Seats
from service.gateway.flights import Flights, Landing
from service.gateway.orders import OrderRunner, RunningOrder
from service.gateway.refusals import Refusals
from service.gateway.state import LEASE_S, SharedState
from service.ports.clock import Clock
from service.ports.provider import Moderator
from service.ports.references import References
from service.ports.state import Ask, Conclusion, Grant, Origin, Settlement, Variant
from service.ports.store import ImageStore
from service.ports.telemetry import ImageDelivered, InFlight, Telemetry

_TWIN_PAUSE_S = 0.5
"""How often an order asks whether the one with the same `Idempotency-Key` is done."""

PoolName = Callable[[ImageOrder, str], str]
"""Names the pool of a fingerprint within the order's cache scope."""


_REFUSALS = (RateLimited, Unauthenticated, PermissionDenied, IdempotencyMismatch, StateUnavailable)
"""What the shared state says instead of admitting an order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderKeys:
    """Keys for the hashes of orders and people; each is derived for its one purpose."""

    fingerprint: bytes
    person: bytes


@dataclass(frozen=True, slots=True)
class _Price:
    """What one image counts and is estimated at; *microusd* None is an unknown price."""

    weight: int
    microusd: int | None


@dataclass(slots=True, kw_only=True)
class _Progress:
    """What an order has so far. *used* are pool indices that must not be given to it again."""

    order: ImageOrder
    sent: SentOrder
    running: RunningOrder
    pool: str | None
    memory: str
    origin: Origin
    price: _Price
    idempotency: Idempotency | None
    round: int = 0
    used: list[int] = field(default_factory=list)
    awaiting: tuple[int, ...] = ()
    waits_since_s: float = 0.0
    filled: int = 0
    failures: list[CallFailure] = field(default_factory=list)
    error: GatewayError | None = None
    is_dispatched: bool = False
    is_begun: bool = False
    is_concluded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate:
    """The use case behind the image routes.

    *pool_name* None switches the cache off; *counts_unpriced* lets callers with a
    budget order what has no known price.
    """

    catalog: Catalog
    keys: OrderKeys
    runner: OrderRunner
    state: SharedState
    dispatcher: Dispatcher
    flights: Flights
    store: ImageStore
    references: References
    clock: Clock
    telemetry: Telemetry
    realm: Realm
    pool_name: PoolName | None
    refusals: Refusals
    moderator: Moderator | None = None
    pass_unknown: bool = False
    counts_unpriced: bool = False

    def start(
        self, order: ImageOrder, when_done: Callable[[], None] = lambda: None
    ) -> tuple[RunningOrder, SentOrder]:
        """Check and translate *order* and set it going; *when_done* is called when its inputs may go.

        Raises:
            InvalidOrder: nothing was spent.
            ModelNotAllowed: by a policy of the caller.
            PriceUnknown: the caller has a budget and the model no price.
            Draining: the process is shutting down.
        """
        sent = bridge.translate(self.catalog, order, self.clock.today(), pass_unknown=self.pass_unknown)
        price = self._price(sent)
        self._check_policies(order, sent, price)
        fingerprint = fingerprint_order(self.keys.fingerprint, order.operation, sent, self.realm)
        may_keep = order.cache.keep and order.caller.may_cache
        pool = self.pool_name(order, fingerprint) if self.pool_name is not None and may_keep else None
        memory = f"{order.caller.team} {fingerprint}"
        origin = Origin(
            asked_model=order.asked_model,
            operation=order.operation,
            fingerprint=fingerprint,
            parents=tuple(entry.digest for entry in order.inputs),
            is_brief=not order.cache.keep,
        )

        async def work(running: RunningOrder) -> None:
            progress = _Progress(
                order=order,
                sent=sent,
                running=running,
                pool=pool,
                memory=memory,
                origin=origin,
                price=price,
                idempotency=identify_order(self.keys.person, order),
            )
            try:
                await self._work_once(progress)
            finally:
                when_done()

        return self.runner.start(order.id, work), sent

    def _check_policies(self, order: ImageOrder, sent: SentOrder, price: _Price) -> None:
        """Check what the caller's policies say of the asked model, the number, the size and the price."""
        asked = self.catalog.models[order.asked_model]
        check_policies(
            order.caller,
            model=order.asked_model,
            n=order.n,
            pixels=pixels_of(asked, order.parameters.get("size")),
            weight=price.weight,
        )
        if price.microusd is None and order.caller.has_budget and not self.counts_unpriced:
            raise PriceUnknown(sent.model)
        check_budgets(order.caller, order.n, price.microusd or 0)

    def _price(self, sent: SentOrder) -> _Price:
        model = self.catalog.models[sent.model]
        estimate_microusd = estimate_image(
            model,
            sent.parameters,
            prompt_bytes=len(sent.prompt.encode("utf-8", "surrogatepass")),
            inputs=len(sent.inputs),
        )
        return _Price(weigh_image(model, sent.parameters), estimate_microusd)

    async def _work_once(self, progress: _Progress) -> None:
        """Work, and conclude an `Idempotency-Key`: its answer is final, or it may be taken up again."""
        if progress.idempotency is None:
            await self._work(progress)
            return
        conclusion: Conclusion | None = None
        try:
            await self._work(progress)
            images = progress.running.delivered
            # An order that was left while it waited for others ends without an error, and incomplete.
            if len(images) == progress.order.n:
                conclusion = Conclusion(images=tuple(images[place] for place in sorted(images)))
        except OrderFailed as error:
            if error.kept == 0 and all(failure.is_callers_own for failure in error.failures):
                conclusion = Conclusion(failures=error.failures)
            raise
        except asyncio.CancelledError:
            if progress.is_begun:
                self.state.finish_later(self._last(progress, None))
            raise
        finally:
            if progress.is_begun and not progress.is_concluded:
                await self.state.finish(self._last(progress, conclusion))

    def _last(self, progress: _Progress, conclusion: Conclusion | None) -> Settlement:
        progress.is_concluded = True
        return replace(
            self._nothing_made(progress, "last"),
            idempotency=progress.idempotency,
            is_last=True,
            conclusion=conclusion,
        )

    async def _work(self, progress: _Progress) -> None:
        places = tuple(range(progress.order.n))
        async with asyncio.TaskGroup() as calls:
            await self._fill(progress, places, calls)
        if progress.error is not None:
            raise progress.error
        if progress.failures:
            for failure in progress.failures:
                if progress.filled == 0:
                    # One of several refused tells nothing of the next.
                    self.refusals.note(progress.memory, failure)
            raise self._failed(progress, progress.failures)

    def _failed(self, progress: _Progress, failures: list[CallFailure]) -> OrderFailed:
        model = self.catalog.models[progress.order.asked_model]
        return OrderFailed(
            tuple(bridge.in_words_of(model, failure) for failure in failures), kept=progress.filled
        )

    async def _fill(self, progress: _Progress, places: tuple[int, ...], calls: asyncio.TaskGroup) -> None:
        """Fill *places*: ask, take what is ready, call for what is ours, wait for the rest, ask again."""
        while places and self._may_go_on(progress):
            begun = await self._begin(progress, len(places))
            if begun is None:
                for index in progress.awaiting:
                    # It was sent to ask for others too: let another one go.
                    self.flights.wake(progress.pool or "", index)
                return
            ask, grant = begun
            places = await self._take_ready(progress, places, grant.ready, grant.resumed)
            made_here, places = places[: len(grant.mine)], places[len(grant.mine) :]
            await self._dispatch(progress, ask, grant, made_here, calls)
            if not grant.degraded:
                # Redis has just said that the makers live.
                progress.waits_since_s = self.clock.monotonic_s()
            if places and grant.awaited:
                places = await self._wait(progress, places, grant.awaited)
            elif places and not grant.ready and not grant.mine:
                # Nothing was granted and nothing is under way: the cache may not be filled, or is inconsistent.
                progress.error = progress.error or self._nothing_granted(progress)

    async def _begin(self, progress: _Progress, n: int) -> tuple[Ask, Grant] | None:
        """Ask the shared state for *n* images; None when the order ends here, refused or answered."""
        while True:
            ask = self._ask(progress, n)
            try:
                grant = await self.state.begin(ask)
            except _REFUSALS as refusal:
                progress.error = refusal
                return None
            if progress.is_begun and (grant.is_under_way or grant.conclusion is not None):
                # The key was taken over while this process seemed dead: its new owner answers.
                progress.error = OrderUnderWay()
                return None
            if grant.conclusion is not None:
                await self._repeat(progress, grant.conclusion)
                return None
            if not grant.is_under_way:
                break
            if not await self._wait_for_twin(progress):
                return None
        progress.is_begun = True
        if ask.round == 0:
            pending = n - len(grant.ready)
            progress.running.emit(Admitted(limits=grant.limits, degraded=grant.degraded, pending=pending))
        return ask, grant

    async def _wait_for_twin(self, progress: _Progress) -> bool:
        """Leave the order to another one with the same `Idempotency-Key`; whether to ask again."""
        progress.round = 0
        left_s = progress.order.deadline_s - self.clock.monotonic_s()
        if left_s <= 0:
            progress.error = OrderUnderWay()
            return False
        await asyncio.sleep(min(_TWIN_PAUSE_S, left_s))
        return not progress.running.is_abandoned

    async def _repeat(self, progress: _Progress, conclusion: Conclusion) -> None:
        """Answer as before: nothing is counted or paid."""
        progress.running.emit(Admitted(limits=(), degraded=False, pending=0, is_replayed=True))
        if conclusion.failures:
            progress.error = self._failed(progress, list(conclusion.failures))
        for place, image in enumerate(conclusion.images):
            try:
                data = await self._read_again(progress, image)
            except (ImageMissing, StoreUnavailable, StateUnavailable) as error:
                progress.error = ImageGone() if isinstance(error, ImageMissing) else error
                return
            progress.filled += 1
            progress.running.emit(ImageReady(position=place, image=image, source=Source.HIT, data=data))

    async def _read_again(self, progress: _Progress, image: Image) -> bytes | None:
        if not await self.references.has(progress.order.caller.team, image.name):
            raise ImageMissing
        if progress.order.delivery is Delivery.URL:
            return None
        return await self.store.get(image.name)

    def _ask(self, progress: _Progress, n: int) -> Ask:
        order, cache = progress.order, progress.order.cache
        ask = Ask(
            id=order.id,
            round=progress.round,
            team=order.caller.team,
            user=order.caller.user,
            model=progress.sent.model,
            realm=self.realm,
            pool=progress.pool,
            n=n,
            limits=limits_of(order.caller),
            scopes=tuple((scope.name, scope.key) for scope in order.caller.scopes),
            key_id=order.caller.key_id,
            weight=progress.price.weight,
            estimate_microusd=progress.price.microusd,
            idempotency=progress.idempotency,
            max_age_s=cache.max_age_s,
            fresh=not cache.reuse,
            only_ready=cache.only_if_cached,
            used=tuple(progress.used),
            # Once a lease has passed without an answer, the maker may be as gone as Redis is.
            awaiting=progress.awaiting if self.clock.monotonic_s() - progress.waits_since_s < LEASE_S else (),
        )
        progress.round += 1
        return ask

    async def _is_kept(self, progress: _Progress, variant: Variant) -> bool:
        """Whether an image that was made under the same key before may still be handed out."""
        try:
            return await self.references.has(progress.order.caller.team, variant.image.name)
        except StateUnavailable:
            return True

    async def _take_ready(
        self, progress: _Progress, places: tuple[int, ...], ready: tuple[Variant, ...], resumed: int
    ) -> tuple[int, ...]:
        """Hand out *ready* variants to the first *places*; returns the places still empty.

        The first *resumed* of them do not come from a pool, from which deletion takes its images.
        """
        for number, variant in enumerate(ready):
            progress.used.append(variant.index)
            if number < resumed and not await self._is_kept(progress, variant):
                continue
            data: bytes | None = None
            if progress.order.delivery is Delivery.B64_JSON:
                try:
                    data = await self.store.get(variant.image.name)
                except ImageMissing:
                    await self._forget(progress, variant)
                    continue
                except StoreUnavailable as error:
                    progress.error = error
                    continue
            if progress.round > 1 and progress.pool:
                # Whoever else waits for it here need not ask.
                self.flights.land(progress.pool, variant.index, Landing(image=variant.image, data=data))
            place, *rest = places
            places = tuple(rest)
            progress.filled += 1
            progress.running.emit(
                ImageReady(
                    position=place, image=variant.image, source=Source.HIT, data=data, age_s=variant.age_s
                )
            )
            self._count(progress, Source.HIT)
        return places

    async def _forget(self, progress: _Progress, variant: Variant) -> None:
        """Drop a variant whose bytes are gone from the pool, so that it is made again."""
        with contextlib.suppress(StateUnavailable):
            await self.references.forget(progress.order.caller.team, variant.image.name)
        nothing = self._nothing_made(progress, f"forget.{variant.index}")
        await self.state.finish(replace(nothing, forgotten=((variant.index, variant.image.digest),)))

    def _nothing_made(self, progress: _Progress, part: str) -> Settlement:
        """Return a settlement without images, for what else there is to say."""
        caller = progress.order.caller
        return Settlement(
            id=progress.order.id,
            part=part,
            fence="",
            team=caller.team,
            user=caller.user,
            model=progress.sent.model,
            realm=self.realm,
            pool=progress.pool,
            limits=(),
        )

    async def _dispatch(
        self,
        progress: _Progress,
        ask: Ask,
        grant: Grant,
        places: tuple[int, ...],
        calls: asyncio.TaskGroup,
    ) -> None:
        """Start the calls for the indices this order was given, or give them back unused."""
        if not grant.mine:
            return
        order = progress.order
        job = Job(
            order=order,
            sent=progress.sent,
            model=self.catalog.models[progress.sent.model],
            ask=ask,
            origin=progress.origin,
            realm=self.realm,
            safety_identifier=keyed_hash(
                self.keys.person, f"{order.caller.user} {order.safety_identifier or ''}"
            ),
        )
        progress.used.extend(grant.mine)
        # A ready variant that turned out to be gone may leave more places than indices, never fewer.
        seats = [
            Seats(group, tuple(grant.mine[places.index(place)] for place in group))
            # A call answers for all its images at once; a stream wants each as soon as it is there.
            for group in split_order(places, 1 if order.is_streamed else progress.sent.images_per_call)
        ]
        try:
            obstacle = await self._obstacle(progress)
        except BaseException:
            for group in seats:
                self.dispatcher.give_up(job, group)
            raise
        for group in seats:
            if obstacle is not None:
                progress.error = obstacle
                await self.dispatcher.give_back(job, group, progress.running, NOT_SENT)
            else:
                progress.is_dispatched = True
                calls.create_task(self._make(job, group, progress))

    async def _make(self, job: Job, seats: Seats, progress: _Progress) -> None:
        failures = await self.dispatcher.make(job, seats, progress.running)
        progress.failures.extend(failures)
        made = len(seats.places) - len(failures)
        progress.filled += made
        for _ in range(made):
            self._count(progress, Source.MADE)

    async def _obstacle(self, progress: _Progress) -> GatewayError | None:
        """Return why nothing should be paid for now, if there is a reason."""
        if progress.error is not None:
            return progress.error
        if progress.running.is_abandoned:
            return GatewayError("The caller went away.")
        if progress.order.delivery is Delivery.URL and not await self.store.is_writable():
            return StoreUnavailable()
        refusal = self.refusals.find(progress.memory) if progress.order.cache.reuse else None
        if refusal is not None:
            return self._failed(progress, [refusal])
        if self.moderator is not None and progress.order.prompt and not progress.is_dispatched:
            refusal = await self.moderator.judge(progress.sent.prompt, deadline_s=progress.order.deadline_s)
            if refusal is not None:
                self.refusals.note(progress.memory, refusal)
                return self._failed(progress, [refusal])
        return None

    def _may_go_on(self, progress: _Progress) -> bool:
        """Whether to ask for places that are still empty; the first time, always."""
        if progress.round == 0:
            return True
        if progress.order.cache.only_if_cached:
            progress.error = progress.error or self._nothing_granted(progress)
        elif progress.order.deadline_s <= self.clock.monotonic_s():
            progress.error = progress.error or DeadlineExceeded(
                dispatched=progress.is_dispatched, kept=progress.filled
            )
        return progress.error is None and not progress.running.is_abandoned

    def _nothing_granted(self, progress: _Progress) -> GatewayError:
        if progress.order.cache.only_if_cached:
            return NotCached(f"Only {progress.filled} of {progress.order.n} images are in the cache.")
        return StateUnavailable("inconsistent")

    async def _wait(
        self, progress: _Progress, places: tuple[int, ...], awaited: tuple[int, ...]
    ) -> tuple[int, ...]:
        """Wait for images others are making; returns the places that must be asked for again."""
        if self.flights.is_full:
            progress.error = OrderFailed((NOT_SENT,), kept=progress.filled)
            return places
        progress.awaiting = awaited
        self.telemetry.record(InFlight(waiters=1))
        try:
            left_s = max(0.0, progress.order.deadline_s - self.clock.monotonic_s())
            # A stream wants each image as soon as it is there; an answer in JSON wants them all.
            landings = await self.flights.wait(
                progress.pool or "", awaited, left_s=left_s, for_all=not progress.order.is_streamed
            )
        finally:
            self.telemetry.record(InFlight(waiters=-1))
        for index, landing in landings.items():
            outcome = landing.failure or await self._load_landed(progress, landing)
            if outcome is None:
                continue
            place, *rest = places
            places = tuple(rest)
            progress.used.append(index)
            if isinstance(outcome, CallFailure):
                progress.failures.append(outcome)
                progress.running.emit(CallFailed(positions=(place,), failure=outcome))
            else:
                self._deliver_landed(progress, place, *outcome)
        return places

    async def _load_landed(self, progress: _Progress, landing: Landing) -> tuple[Image, bytes | None] | None:
        """Return the image as it will be delivered, or None where it cannot be."""
        image, data = landing.image, landing.data
        if image is None:
            return None
        if progress.order.delivery is Delivery.URL:
            return (image, data) if landing.is_stored else None
        if data is None:
            try:
                data = await self.store.get(image.name)
            except (ImageMissing, StoreUnavailable):
                return None
        return image, data

    def _deliver_landed(self, progress: _Progress, place: int, image: Image, data: bytes | None) -> None:
        progress.filled += 1
        progress.running.emit(ImageReady(position=place, image=image, source=Source.COALESCED, data=data))
        self._count(progress, Source.COALESCED)

    def _count(self, progress: _Progress, source: Source) -> None:
        self.telemetry.record(ImageDelivered(asked_model=progress.order.asked_model, source=source))
