"""The use cases as `wiring` puts them together, on fakes at every port."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from service.domain.catalog import Catalog
from service.domain.images import ImageOrder, OrderFact, Realm
from service.domain.retrying import RetryRule
from service.gateway.admission.local import LocalShare
from service.gateway.admission.shared import SharedState
from service.gateway.order.accept import Acceptance, OrderKeys, PoolName
from service.gateway.order.attempt import Attempts
from service.gateway.order.cached import Hits
from service.gateway.order.idempotency import Idempotence
from service.gateway.order.keep import Keeper
from service.gateway.order.make import Dispatcher
from service.gateway.order.preflight import Obstacles
from service.gateway.order.refusals import Refusals
from service.gateway.order.run import Generate
from service.gateway.order.runner import OrderRunner, RunningOrder
from service.gateway.order.share import Coalescing
from service.gateway.order.waiting import Flights
from service.ports.provider import Moderator
from tests.fakes.backend import FakeBackend, Held, Outcome
from tests.fakes.book import FakeBook
from tests.fakes.clock import FakeClock
from tests.fakes.storage import FakeImaging, FakeOutbox, FakeReferences, FakeStore
from tests.fakes.telemetry import FakeTelemetry
from tests.fakes.values import a_catalog

KEYS = OrderKeys(fingerprint=b"fingerprint", person=b"person")


def name_pool(order: ImageOrder, fingerprint: str) -> str:
    """Name pools as the cache scope `team` does."""
    return f"{order.caller.team}:{fingerprint}"


class Assembly:
    """A gateway without its edges; entering it runs orders, leaving it drains them.

    The backend answers by *script*; retries wait no time.
    """

    def __init__(
        self,
        clock: FakeClock,
        *script: Outcome | Held,
        max_calls: int = 32,
        drain_s: float = 60.0,
        pool_name: PoolName | None = name_pool,
        moderator: Moderator | None = None,
        pass_unknown: bool = False,
        counts_unpriced: bool = False,
        catalog: Catalog | None = None,
        store: FakeStore | None = None,
    ) -> None:
        self.clock = clock
        self.backend = FakeBackend(*script)
        self.book = FakeBook()
        self.store = store or FakeStore()
        self.references = FakeReferences()
        self.pictures = FakeImaging()
        self.outbox = FakeOutbox()
        self.telemetry = FakeTelemetry()
        self.flights = Flights()
        self.state = SharedState(
            book=self.book,
            outbox=self.outbox,
            clock=clock,
            telemetry=self.telemetry,
            local=LocalShare(clock=clock, processes=1),
        )
        self.dispatcher = Dispatcher(
            attempts=Attempts(
                backend=self.backend,
                clock=clock,
                telemetry=self.telemetry,
                rule=RetryRule(),
                jitter=lambda: 0.0,
            ),
            keeper=Keeper(finisher=self.pictures, store=self.store, clock=clock),
            state=self.state,
            flights=self.flights,
            telemetry=self.telemetry,
            clock=clock,
            max_calls=max_calls,
        )
        self.runner = OrderRunner(telemetry=self.telemetry, drain_s=drain_s)
        self.generate = Generate(
            acceptance=Acceptance(
                catalog=catalog or a_catalog(),
                keys=KEYS,
                realm=Realm.SANDBOX,
                clock=clock,
                pool_name=pool_name,
                pass_unknown=pass_unknown,
                counts_unpriced=counts_unpriced,
            ),
            runner=self.runner,
            state=self.state,
            idempotence=Idempotence(
                state=self.state, store=self.store, references=self.references, clock=clock
            ),
            hits=Hits(
                state=self.state,
                store=self.store,
                references=self.references,
                flights=self.flights,
                telemetry=self.telemetry,
            ),
            obstacles=Obstacles(store=self.store, refusals=Refusals(clock), moderator=moderator),
            dispatcher=self.dispatcher,
            coalescing=Coalescing(
                flights=self.flights, store=self.store, clock=clock, telemetry=self.telemetry
            ),
            clock=clock,
            telemetry=self.telemetry,
        )

    async def __aenter__(self) -> Self:
        await self.runner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.runner.__aexit__(kind, error, trace)

    def start(self, order: ImageOrder) -> RunningOrder:
        """Set an order going, for a reader of its facts."""
        running, _ = self.generate.start(order)
        return running

    async def run(self, order: ImageOrder) -> list[OrderFact]:
        """Run an order to its end and return all it told."""
        return await read(self.start(order))


async def read(running: RunningOrder) -> list[OrderFact]:
    """Read an order's facts to the last."""
    return [fact async for fact in running.facts()]


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run *work* beside the block and cancel it at its end."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        yield task
        task.cancel()
