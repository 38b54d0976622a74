"""The backend and the model that made an image, wherever that is told of."""

from service.domain.backends import Offer, ServedModel
from service.domain.catalog import Catalog
from service.domain.failures import Billing, FailureKind
from service.domain.progress import ImageReady
from service.domain.serving import with_offers
from service.ports.admission import Settlement
from service.ports.telemetry import OrderEnded
from tests.fakes.backend import FakeBackend, Outcome
from tests.fakes.clock import FakeClock
from tests.fakes.values import a_catalog, a_failure, an_order
from tests.gateway.assembly import Assembly

MODEL, CURRENT = "gpt-image-1", "gpt-image-2.6-flare"
REFUSED = a_failure(kind=FailureKind.MISCONFIGURED)
"""The key of a backend is refused, which costs nothing: it rests at once, and its calls go elsewhere."""
UNKNOWN = a_failure(kind=FailureKind.TIMED_OUT, billing=Billing.UNKNOWN)


def two_backends() -> Catalog:
    """Return a catalogue of which `fake` serves an old model, and `openai` the current one that replaces it."""
    old = Offer(backend="fake", models={MODEL: ServedModel(name="deployment")})
    current = Offer(backend="openai", models={CURRENT: ServedModel(name=CURRENT)})
    return with_offers(a_catalog(), (old, current))


def a_house(clock: FakeClock, *script: Outcome, others: Outcome | None = None) -> Assembly:
    other = FakeBackend(*([others] if others else []), name="openai")
    return Assembly(clock, *script, catalog=two_backends(), others=[other])


async def settled(house: Assembly, **override: object) -> tuple[list[ImageReady], list[Settlement]]:
    """Order an image of the old model; return what was delivered, and the settlements of the calls."""
    order = an_order(asked_model=MODEL, catalog=two_backends(), **override)
    facts = await house.run(order)
    images = [fact for fact in facts if isinstance(fact, ImageReady)]
    return images, [each for each in house.book.settlements if each.made or each.unknown or each.refunded]


async def test_an_image_names_its_maker(clock: FakeClock) -> None:
    async with a_house(clock) as house:
        [ready], [settlement] = await settled(house)

    assert (ready.image.backend, ready.image.sent_model) == ("fake", MODEL)
    assert (settlement.backend, settlement.model) == ("fake", MODEL)
    [ended] = house.telemetry.of(OrderEnded)
    assert ended.record.makers == [("fake", MODEL)]


async def test_an_image_that_crossed_names_the_backend_that_made_it_and_its_model(clock: FakeClock) -> None:
    async with a_house(clock, REFUSED) as house:
        [ready], [settlement] = await settled(house)

    assert (ready.image.backend, ready.image.sent_model) == ("openai", CURRENT)
    assert (settlement.backend, settlement.model, settlement.ticket.model) == ("openai", CURRENT, MODEL)
    # The price is that of the model which made it.
    assert ready.image.cost_microusd == 50 * 5 + 1756 * 30
    [ended] = house.telemetry.of(OrderEnded)
    assert ended.record.makers == [("openai", CURRENT)]


async def test_an_unknown_outcome_is_booked_where_it_was_called(clock: FakeClock) -> None:
    async with a_house(clock, REFUSED, others=UNKNOWN) as house:
        images, [settlement] = await settled(house)

    assert images == []
    assert (settlement.unknown, settlement.backend, settlement.model) == (1, "openai", CURRENT)
