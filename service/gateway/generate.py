"""The main job: from an order to its images, by the shortest way that costs least.

Ready variants first, then what others are making, and calls only for the rest.
The whole path of one order is `_work` → `_fill`; everything else serves it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from service.domain import bridge
from service.domain.callers import Caller, check_budgets, check_policies
from service.domain.catalog import Catalog, Model, pixels_of
from service.domain.errors import (
    CallFailure,
    DeadlineExceeded,
    GatewayError,
    ImageMissing,
    NotCached,
    OrderFailed,
    PermissionDenied,
    PriceUnknown,
    RateLimited,
    StateUnavailable,
    StoreUnavailable,
    Unauthenticated,
)
from service.domain.fanout import split_order
from service.domain.fingerprint import fingerprint_order, keyed_hash
from service.domain.images import (
    Admitted,
    CallFailed,
    Delivery,
    Image,
    ImageOrder,
    ImageReady,
    Realm,
    SentOrder,
    Source,
)
from service.domain.pricing import estimate_image, weigh_image
from service.gateway.attempts import NOT_SENT
from service.gateway.dispatch import Dispatcher, Job, Seats
from service.gateway.flights import Flights
from service.gateway.orders import OrderRunner, RunningOrder
from service.gateway.refusals import Refusals
from service.gateway.state import LEASE_S, SharedState
from service.ports import (
    Ask,
    Clock,
    Grant,
    ImageDelivered,
    ImageStore,
    InFlight,
    Limit,
    Moderator,
    Settlement,
    Telemetry,
    Variant,
)

PoolName = Callable[[ImageOrder, str], str]
"""Names the pool of a fingerprint within the order's cache scope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderKeys:
    """Keys for the hashes of orders and people; each is derived for its one purpose."""

    fingerprint: bytes
    person: bytes


@dataclass(slots=True, kw_only=True)
class _Progress:
    """What an order has so far. *used* are pool indices that must not be given to it again."""

    order: ImageOrder
    sent: SentOrder
    running: RunningOrder
    pool: str | None
    memory: str
    round: int = 0
    used: list[int] = field(default_factory=list)
    awaiting: tuple[int, ...] = ()
    waits_since_s: float = 0.0
    filled: int = 0
    failures: list[CallFailure] = field(default_factory=list)
    error: GatewayError | None = None
    is_dispatched: bool = False


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
        self._check_policies(order, sent)
        fingerprint = fingerprint_order(self.keys.fingerprint, order.operation, sent, self.realm)
        may_keep = order.cache.keep and order.caller.may_cache
        pool = self.pool_name(order, fingerprint) if self.pool_name is not None and may_keep else None
        memory = f"{order.caller.team} {fingerprint}"

        async def work(running: RunningOrder) -> None:
            try:
                await self._work(_Progress(order=order, sent=sent, running=running, pool=pool, memory=memory))
            finally:
                when_done()

        return self.runner.start(order.id, work), sent

    def _check_policies(self, order: ImageOrder, sent: SentOrder) -> None:
        """Check what the caller's policies say of the asked model, the number and the size."""
        asked, model = self.catalog.models[order.asked_model], self.catalog.models[sent.model]
        check_policies(
            order.caller,
            model=order.asked_model,
            n=order.n,
            pixels=pixels_of(asked, order.parameters.get("size")),
            weight=weigh_image(model, sent.parameters),
        )
        estimate = self._estimate(model, sent)
        if estimate is None and order.caller.has_budget and not self.counts_unpriced:
            raise PriceUnknown(sent.model)
        check_budgets(order.caller, order.n, estimate or 0)

    def _estimate(self, model: Model, sent: SentOrder) -> int | None:
        return estimate_image(
            model,
            sent.parameters,
            prompt_bytes=len(sent.prompt.encode("utf-8", "surrogatepass")),
            inputs=len(sent.inputs),
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
            ask = self._ask(progress, len(places))
            try:
                grant = await self.state.begin(ask)
            except (RateLimited, Unauthenticated, PermissionDenied, StateUnavailable) as refusal:
                progress.error = refusal
                return
            if ask.round == 0:
                pending = len(places) - len(grant.ready)
                progress.running.emit(Admitted(limits=grant.limits, degraded=grant.degraded, pending=pending))
            places = await self._take_ready(progress, places, grant.ready)
            made_here, places = places[: len(grant.mine)], places[len(grant.mine) :]
            await self._dispatch(progress, ask, grant, made_here, calls)
            if places and grant.awaited:
                places = await self._wait(progress, places, grant.awaited)
            elif places and not grant.ready and not grant.mine:
                # Nothing was granted and nothing is under way: the cache may not be filled, or is inconsistent.
                progress.error = progress.error or self._nothing_granted(progress)

    def _ask(self, progress: _Progress, n: int) -> Ask:
        order, cache = progress.order, progress.order.cache
        model = self.catalog.models[progress.sent.model]
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
            weight=weigh_image(model, progress.sent.parameters),
            estimate_microusd=self._estimate(model, progress.sent),
            max_age_s=cache.max_age_s,
            fresh=not cache.reuse,
            only_ready=cache.only_if_cached,
            used=tuple(progress.used),
            # Once a lease has passed without an answer, the maker may be as gone as Redis is.
            awaiting=progress.awaiting if self.clock.monotonic_s() - progress.waits_since_s < LEASE_S else (),
        )
        progress.round += 1
        return ask

    async def _take_ready(
        self, progress: _Progress, places: tuple[int, ...], ready: tuple[Variant, ...]
    ) -> tuple[int, ...]:
        """Hand out *ready* variants to the first *places*; returns the places still empty."""
        for variant in ready:
            progress.used.append(variant.index)
            if progress.round > 1 and progress.pool:
                # The news of it was lost: whoever else waits for it need not find out by polling.
                self.flights.wake(progress.pool, variant.index)
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
        caller = progress.order.caller
        await self.state.finish(
            Settlement(
                id=progress.order.id,
                part=f"forget.{variant.index}",
                fence="",
                team=caller.team,
                user=caller.user,
                model=progress.sent.model,
                realm=self.realm,
                pool=progress.pool,
                limits=(),
                forgotten=((variant.index, variant.image.digest),),
            )
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
            progress.error = progress.error or DeadlineExceeded(dispatched=progress.is_dispatched)
        return progress.error is None and not progress.running.is_abandoned

    def _nothing_granted(self, progress: _Progress) -> GatewayError:
        if progress.order.cache.only_if_cached:
            return NotCached(f"Only {progress.filled} of {progress.order.n} images are in the cache.")
        return StateUnavailable("inconsistent")

    async def _wait(
        self, progress: _Progress, places: tuple[int, ...], awaited: tuple[int, ...]
    ) -> tuple[int, ...]:
        """Wait for images others are making; returns the places that must be asked for again."""
        if set(awaited) - set(progress.awaiting):
            progress.waits_since_s = self.clock.monotonic_s()
        progress.awaiting = awaited
        self.telemetry.record(InFlight(waiters=1))
        try:
            left_s = max(0.0, progress.order.deadline_s - self.clock.monotonic_s())
            landings = await self.flights.wait(progress.pool or "", awaited, left_s=left_s)
        finally:
            self.telemetry.record(InFlight(waiters=-1))
        for index, landing in landings.items():
            has_image = landing.image is not None and (
                landing.is_stored or progress.order.delivery is not Delivery.URL
            )
            if not has_image and landing.failure is None:
                continue
            place, *rest = places
            places = tuple(rest)
            progress.used.append(index)
            if has_image and landing.image is not None:
                self._deliver_landed(progress, place, landing.image, landing.data)
            if landing.failure is not None:
                progress.failures.append(landing.failure)
                progress.running.emit(CallFailed(positions=(place,), failure=landing.failure))
        return places

    def _deliver_landed(self, progress: _Progress, place: int, image: Image, data: bytes | None) -> None:
        progress.filled += 1
        progress.running.emit(ImageReady(position=place, image=image, source=Source.COALESCED, data=data))
        self._count(progress, Source.COALESCED)

    def _count(self, progress: _Progress, source: Source) -> None:
        self.telemetry.record(ImageDelivered(asked_model=progress.order.asked_model, source=source))


def limits_of(caller: Caller) -> tuple[Limit, ...]:
    """Return every limit of every policy that an order of *caller* counts against."""
    return tuple(
        Limit(resource=resource, scope=scope.name, key=scope.key, amount=amount)
        for scope in caller.scopes
        for resource, amount in scope.policy.amounts()
    )
