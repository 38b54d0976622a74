"""The use cases as `wiring` puts them together, on fakes at every port."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from service.domain.catalog import Catalog
from service.domain.images import Realm
from service.domain.order import ImageOrder
from service.domain.progress import OrderFact
from service.domain.retrying import RetryRule
from service.gateway.admission.local import LocalShare
from service.gateway.admission.shared import SharedState
from service.gateway.order.accept import Acceptance, OrderKeys, Pools
from service.gateway.order.attempt import Attempts
from service.gateway.order.cached import Cached
from service.gateway.order.ends import Ends
from service.gateway.order.idempotency import KeyedOrders
from service.gateway.order.keep import Keeper
from service.gateway.order.make import Maker
from service.gateway.order.preflight import Preflight
from service.gateway.order.refusals import RefusedOrders
from service.gateway.order.run import Orders
from service.gateway.order.runner import OrderRunner, RunningOrder
from service.gateway.order.share import Share
from service.gateway.order.waiting import WaitingRoom
from service.http.error_codes import code_of
from service.ports.provider import Moderator
from tests.fakes.backend import FakeBackend, Held, Outcome
from tests.fakes.book import FakeOrders
from tests.fakes.clock import FakeClock
from tests.fakes.routing import a_queue
from tests.fakes.storage import FakeImaging, FakeJournal, FakeReferences, FakeStore
from tests.fakes.telemetry import FakeTelemetry
from tests.fakes.values import a_catalog

KEYS = OrderKeys(fingerprint=b"fingerprint", person=b"person")


def name_pool(team: str, scope: str, fingerprint: str) -> str:
    """Name pools as the shared state would."""
    return f"{team}:{scope}:{fingerprint}"


POOLS = Pools(key=name_pool, scope="team")


class Assembly:
    """A gateway without its edges; entering it runs orders, leaving it drains them.

    The backend answers by *script*, and *others* stand beside it; retries wait no time.
    """

    def __init__(
        self,
        clock: FakeClock,
        *script: Outcome | Held,
        max_calls: int = 32,
        drain_s: float = 60.0,
        pools: Pools | None = POOLS,
        moderator: Moderator | None = None,
        pass_unknown: bool = False,
        counts_unpriced: bool = False,
        catalog: Catalog | None = None,
        store: FakeStore | None = None,
        others: Sequence[FakeBackend] = (),
    ) -> None:
        self.clock = clock
        self.backend = FakeBackend(*script)
        self.book = FakeOrders()
        self.store = store or FakeStore()
        self.references = FakeReferences()
        self.imaging = FakeImaging()
        self.journal = FakeJournal()
        self.telemetry = FakeTelemetry()
        self.room = WaitingRoom()
        self.state = SharedState(
            book=self.book,
            journal=self.journal,
            clock=clock,
            telemetry=self.telemetry,
            local=LocalShare(clock=clock, processes=1),
        )
        self.queue = a_queue(clock, self.telemetry, self.backend, *others, most_calls=max_calls)
        self.attempts = Attempts(
            queue=self.queue,
            clock=clock,
            telemetry=self.telemetry,
            rule=RetryRule(),
            jitter=lambda: 0.0,
        )
        self.maker = Maker(
            queue=self.queue,
            attempts=self.attempts,
            keeper=Keeper(finisher=self.imaging, store=self.store, clock=clock),
            state=self.state,
        )
        self.share = Share(room=self.room, store=self.store, clock=clock)
        self.runner = OrderRunner(telemetry=self.telemetry, drain_s=drain_s, flush=self.state.pending.flush)
        self.orders = Orders(
            acceptance=Acceptance(
                catalog=catalog or a_catalog(),
                keys=KEYS,
                realm=Realm.SANDBOX,
                clock=clock,
                pools=pools,
                pass_unknown=pass_unknown,
                counts_unpriced=counts_unpriced,
            ),
            runner=self.runner,
            state=self.state,
            keyed=KeyedOrders(state=self.state, store=self.store, references=self.references, clock=clock),
            cached=Cached(
                state=self.state,
                store=self.store,
                references=self.references,
                telemetry=self.telemetry,
            ),
            preflight=Preflight(
                store=self.store, refusals=RefusedOrders(clock), queue=self.queue, moderator=moderator
            ),
            maker=self.maker,
            share=self.share,
            clock=clock,
            ends=Ends(clock=clock, telemetry=self.telemetry, code_of=code_of),
        )

    @property
    def in_flight(self) -> dict[str, int]:
        """What is under way now, as it is shown to operators; empty when nothing is."""
        numbers = {
            "orders": self.runner.running,
            "calls": self.attempts.in_flight,
            "waiters": self.share.waiting,
        }
        return {kind: number for kind, number in numbers.items() if number}

    async def __aenter__(self) -> Self:
        await self.runner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.runner.__aexit__(kind, error, trace)

    def start(self, order: ImageOrder) -> RunningOrder:
        """Set an order going, for a reader of its facts."""
        running, _, _ = self.orders.start(order)
        return running

    async def run(self, order: ImageOrder) -> list[OrderFact]:
        """Run an order to its end and return all it told."""
        return await read(self.start(order))


async def read(running: RunningOrder) -> list[OrderFact]:
    """Read an order's facts to the last."""
    facts: list[OrderFact] = []
    while (fact := await running.next_fact()) is not None:
        facts.append(fact)
    return facts


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run *work* beside the block and cancel it at its end."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        yield task
        task.cancel()
