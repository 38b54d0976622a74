import asyncio
from collections.abc import AsyncIterator, Sequence

from service.domain.errors import StateUnavailable
from service.domain.failures import FailureKind
from service.domain.rests import Rest, RestName, RestReason
from service.gateway.routing.route import Course
from service.gateway.routing.sharing import RestSharing
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.routing import a_key, a_routing
from tests.fakes.telemetry import FakeTelemetry
from tests.fakes.values import a_failure
from tests.gateway.assembly import in_background

KEY = a_key(name="one/a")
REST = Rest(name=RestName(KEY.name, "gpt-image-2"), reason=RestReason.FAILING, left_s=9.0)


class FakeRests:
    """Implements `ports.rests.SharedRests`; fails while *is_away*."""

    def __init__(self) -> None:
        self.is_away = False
        self.kept: list[Rest] = []
        self.news: asyncio.Queue[Rest] = asyncio.Queue()

    async def put(self, rest: Rest) -> None:
        if self.is_away:
            raise StateUnavailable("gone")
        self.kept.append(rest)

    async def read(self, names: Sequence[RestName]) -> list[Rest]:
        if self.is_away:
            raise StateUnavailable("gone")
        return [rest for rest in self.kept if rest.name in names]

    async def listen(self) -> AsyncIterator[Rest]:
        while True:
            yield await self.news.get()


async def test_rests_are_told(clock: FakeClock) -> None:
    shared = FakeRests()
    sharing = RestSharing(shared)
    async with in_background(sharing.tell_forever()):
        sharing.tell(REST)
        await until_idle()

    assert shared.kept == [REST]


async def test_without_the_shared_state_what_is_told_is_lost_and_later_rests_are_told(
    clock: FakeClock,
) -> None:
    shared = FakeRests()
    shared.is_away = True
    sharing = RestSharing(shared)
    async with in_background(sharing.tell_forever()):
        for _ in range(1000):
            sharing.tell(REST)
        await until_idle()
        shared.is_away = False
        sharing.tell(REST)
        await until_idle()

    assert shared.kept == [REST]


async def test_news_are_observed(clock: FakeClock) -> None:
    shared, key = FakeRests(), a_key(name="one/a")
    routing = a_routing(clock, FakeTelemetry(), key)
    async with in_background(RestSharing(shared).listen_forever(routing)):
        await shared.news.put(REST)
        await until_idle()

    assert [rest.name for rest in routing.resting()] == [REST.name]


async def test_rests_are_read_as_news_may_be_lost(clock: FakeClock) -> None:
    shared, key = FakeRests(), a_key(name="one/a")
    routing = a_routing(clock, FakeTelemetry(), key)
    routing.keys[0].standing_with("gpt-image-2")
    shared.is_away = True
    async with in_background(RestSharing(shared).read_forever(routing)):
        await until_idle()
        shared.is_away = False
        shared.kept.append(REST)
        await asyncio.sleep(3.0)
        found = list(routing.resting())

    assert [rest.name for rest in found] == [REST.name]


async def test_an_answer_that_is_older_than_the_news_changes_nothing(clock: FakeClock) -> None:
    class SlowRests(FakeRests):
        async def read(self, names: Sequence[RestName]) -> list[Rest]:
            kept = await super().read(names)
            await asyncio.sleep(0.003)
            return kept

    routing = a_routing(clock, FakeTelemetry(), a_key(name="one/a"))
    routing.keys[0].standing_with("gpt-image-2")
    async with asyncio.TaskGroup() as group:
        group.create_task(RestSharing(SlowRests()).read(routing))
        await until_idle()
        routing.observe(REST)

    assert [rest.name for rest in routing.resting()] == [REST.name]


async def test_a_rest_whose_end_was_missed_is_over_once_it_is_read(clock: FakeClock) -> None:
    shared, key = FakeRests(), a_key(name="one/a")
    routing = a_routing(clock, FakeTelemetry(), key)
    own = Course(key, 0, "gpt-image-1")
    routing.note(own, a_failure(kind=FailureKind.RATE_LIMITED, retry_after_s=9.0), clock.monotonic_s())
    routing.observe(REST)
    async with in_background(RestSharing(shared).read_forever(routing)):
        await until_idle()
        found = list(routing.resting())

    # Its own rest may not have been told yet.
    assert [rest.name.model for rest in found] == [own.model]
