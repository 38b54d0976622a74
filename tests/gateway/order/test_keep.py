import math
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.images import ContentCredentials, Delivery, Finish, RawImage
from service.domain.pricing import estimate_image, estimate_sent
from service.gateway.order.keep import Keeper, Kept, billing_of_missing
from service.ports.imaging import FinishedImage
from tests.fakes.clock import NOON, FakeClock
from tests.fakes.storage import FakeImaging, FakeStore
from tests.fakes.values import USAGE, a_call_made, a_catalog, a_sent_order, an_image, an_input, an_order

MODEL = a_catalog().models["gpt-image-2.6-flare"]


def a_keeper(*, store: FakeStore | None = None, imaging: FakeImaging | None = None) -> Keeper:
    return Keeper(finisher=imaging or FakeImaging(), store=store or FakeStore(), clock=FakeClock())


async def test_a_raw_image_becomes_a_stored_image() -> None:
    store = FakeStore()
    digest = sha256(b"image").hexdigest()

    kept = await a_keeper(store=store).keep(
        a_call_made(b"image"), a_sent_order(), an_order(), deadline_s=math.inf, backend="azure"
    )

    assert kept == [
        Kept(
            an_image(
                digest,
                size_bytes=5,
                created_s=int(NOON.timestamp()),
                usage=USAGE,
                resolved={"quality": "medium"},
                cost_microusd=50 * 5 + 1756 * 30,
                backend="azure",
                sent_model="gpt-image-2.6-flare",
            ),
            b"image",
            is_stored=True,
        )
    ]
    assert store.blobs == {f"{digest}.png": b"image"}


@pytest.mark.parametrize(
    ("delivery", "is_full", "data"),
    [
        (Delivery.URL, False, None),
        (Delivery.URL, True, b"image"),
        (Delivery.B64_JSON, False, b"image"),
    ],
)
async def test_bytes_behind_a_link_wait_for_nothing(
    delivery: Delivery, is_full: bool, data: bytes | None
) -> None:
    """The settlement may take a while, and megabytes of each image would wait with it."""
    store = FakeStore()
    store.is_full = is_full

    [kept] = await a_keeper(store=store).keep(
        a_call_made(b"image"), a_sent_order(), an_order(delivery=delivery), deadline_s=math.inf
    )

    assert isinstance(kept, Kept)
    assert (kept.data, kept.is_stored) == (data, not is_full)


async def test_the_finish_plan_is_carried_out() -> None:
    imaging = FakeImaging()
    sent = a_sent_order(finish=Finish(256, 256))

    [kept] = await a_keeper(imaging=imaging).keep(a_call_made(), sent, an_order(), deadline_s=math.inf)

    assert isinstance(kept, Kept)
    assert (kept.image.width, kept.image.height) == (256, 256)
    assert imaging.plans == [Finish(256, 256)]


@pytest.mark.parametrize(
    ("finish", "parameters", "plan"),
    [
        (None, {}, Finish(format="webp")),
        (None, {"output_compression": 50}, Finish(compression=50, format="webp")),
        (Finish(256, 256, compression=70), {}, Finish(256, 256, compression=70, format="webp")),
    ],
    ids=["as made", "compressed", "resampled"],
)
async def test_images_of_a_backend_of_one_format_are_converted(
    finish: Finish | None, parameters: dict[str, Any], plan: Finish
) -> None:
    imaging = FakeImaging()
    keeper = replace(a_keeper(imaging=imaging), of_one_format=frozenset({"own"}))
    sent = a_sent_order(finish=finish, parameters=parameters, output_format="webp")
    made = a_call_made(resolved={"output_format": "jpeg", "quality": "low"})

    [kept] = await keeper.keep(made, sent, an_order(), deadline_s=math.inf, backend="own")
    [other] = await keeper.keep(made, sent, an_order(), deadline_s=math.inf, backend="another")

    assert isinstance(kept, Kept)
    assert isinstance(other, Kept)
    assert imaging.plans == [plan, finish]
    assert kept.image.resolved == {"output_format": "webp", "quality": "low"}
    assert other.image.resolved == made.resolved


async def test_statements_of_the_provider_are_kept_with_the_image() -> None:
    made = replace(
        a_call_made(),
        images=(RawImage(data=b"a", revised_prompt="A tall lighthouse"), RawImage(data=b"b")),
    )

    kept = await a_keeper().keep(made, a_sent_order(), an_order(), deadline_s=math.inf)

    images = [entry.image for entry in kept if isinstance(entry, Kept)]
    assert [image.revised_prompt for image in images] == ["A tall lighthouse", None]


async def test_usage_and_price_of_a_call_are_shared_by_its_images() -> None:
    usage = {"input_tokens": 3, "output_tokens": 11}

    kept = await a_keeper().keep(
        a_call_made(b"a", b"b", usage=usage), a_sent_order(), an_order(), deadline_s=math.inf
    )

    images = [entry.image for entry in kept if isinstance(entry, Kept)]
    assert [image.usage for image in images] == [
        {"input_tokens": 2, "output_tokens": 6},
        {"input_tokens": 1, "output_tokens": 5},
    ]
    assert [image.cost_microusd for image in images] == [2 * 5 + 6 * 30, 5 + 5 * 30]


async def test_without_usage_the_price_is_estimated() -> None:
    [kept] = await a_keeper().keep(a_call_made(usage=None), a_sent_order(), an_order(), deadline_s=math.inf)

    assert isinstance(kept, Kept)
    assert (kept.image.usage, kept.image.cost_microusd) == (None, 1756 * 30 + 20)


async def test_usage_without_totals_is_estimated_too() -> None:
    [kept] = await a_keeper().keep(
        a_call_made(usage={"output_tokens": 5}), a_sent_order(), an_order(), deadline_s=math.inf
    )

    assert isinstance(kept, Kept)
    assert (kept.image.usage, kept.image.cost_microusd) == ({"output_tokens": 5}, 1756 * 30 + 20)


async def test_usage_of_zeros_is_not_free() -> None:
    zeros = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}

    kept = await a_keeper().keep(
        a_call_made(b"a", b"b", usage=zeros), a_sent_order(), an_order(), deadline_s=math.inf
    )

    assert [entry.image.cost_microusd for entry in kept if isinstance(entry, Kept)] == [1756 * 30 + 20] * 2


async def test_few_tokens_among_many_images_are_no_zeros() -> None:
    usage = {"input_tokens": 0, "output_tokens": 1}

    kept = await a_keeper().keep(
        a_call_made(b"a", b"b", usage=usage), a_sent_order(), an_order(), deadline_s=math.inf
    )

    assert [entry.image.cost_microusd for entry in kept if isinstance(entry, Kept)] == [30, 0]


async def test_the_images_that_are_left_share_all_that_was_billed() -> None:
    usage = {"input_tokens": 40, "output_tokens": 400}

    kept = await a_keeper().keep(
        a_call_made(b"broken", b"b", b"c", usage=usage), a_sent_order(), an_order(), deadline_s=math.inf
    )

    images = [entry.image for entry in kept if isinstance(entry, Kept)]
    assert sum(image.cost_microusd or 0 for image in images) == 40 * 5 + 400 * 30
    assert isinstance(kept[0], CallFailure)
    assert kept[0].billing is Billing.BILLED


@pytest.mark.parametrize("usage", [USAGE, None], ids=["counted", "uncounted"])
async def test_what_no_image_can_carry_is_unknown(usage: dict[str, Any] | None) -> None:
    kept = await a_keeper().keep(
        a_call_made(b"broken", usage=usage), a_sent_order(), an_order(), deadline_s=math.inf
    )

    assert [entry.billing for entry in kept if isinstance(entry, CallFailure)] == [Billing.UNKNOWN]


@pytest.mark.parametrize(
    ("usage", "outcomes", "billing"),
    [
        (USAGE, 1, Billing.BILLED),
        (None, 1, Billing.UNKNOWN),
        (USAGE, 0, Billing.UNKNOWN),
        ({"input_tokens": 0, "output_tokens": 0}, 1, Billing.UNKNOWN),
    ],
)
async def test_a_missing_image_is_in_the_counts_of_its_call(
    usage: dict[str, Any] | None, outcomes: int, billing: Billing
) -> None:
    made = a_call_made(b"image" if outcomes else b"broken", usage=usage)
    kept = await a_keeper().keep(made, a_sent_order(), an_order(), deadline_s=math.inf)

    assert billing_of_missing(made, kept) is billing


async def test_the_reserved_price_is_booked_without_usage() -> None:
    """Also for the prompt and the inputs."""
    parameters = {"quality": "medium", "size": "1024x1024"}
    sent = a_sent_order(prompt="漢字" * 500, parameters=parameters, inputs=(an_input(), an_input("mask")))
    bare = estimate_image(MODEL, parameters)

    [kept] = await a_keeper().keep(a_call_made(usage=None), sent, an_order(), deadline_s=math.inf)

    assert isinstance(kept, Kept)
    assert bare is not None
    assert kept.image.cost_microusd == estimate_sent(sent) == bare + 1000 * 5 + 2 * 6240 * 8


async def test_a_size_chosen_by_the_provider_sets_the_price() -> None:
    sent = a_sent_order(parameters={"quality": "medium", "size": "auto"})
    painted = replace(sent, parameters={"quality": "medium", "size": "1024x1024"})

    [kept] = await a_keeper().keep(a_call_made(usage=None), sent, an_order(), deadline_s=math.inf)

    assert isinstance(kept, Kept)
    assert kept.image.cost_microusd == estimate_sent(painted)
    assert kept.image.cost_microusd != estimate_sent(sent)


async def test_an_unknown_price_is_not_zero() -> None:
    sent = a_sent_order(parameters={"quality": "of another kind"})

    [kept] = await a_keeper().keep(a_call_made(usage=None), sent, an_order(), deadline_s=math.inf)

    assert isinstance(kept, Kept)
    assert kept.image.cost_microusd is None


async def test_usage_of_an_unknown_shape_loses_no_image() -> None:
    usage = {"input_tokens": 3, "output_tokens": 11, "input_tokens_details": 3}

    [kept] = await a_keeper().keep(a_call_made(usage=usage), a_sent_order(), an_order(), deadline_s=math.inf)

    assert isinstance(kept, Kept)


async def test_a_broken_image_does_not_affect_the_others() -> None:
    store = FakeStore()

    kept = await a_keeper(store=store).keep(
        a_call_made(b"a", b"broken", b"c", usage=None), a_sent_order(), an_order(), deadline_s=math.inf
    )

    assert [isinstance(entry, Kept) for entry in kept] == [True, False, True]
    assert isinstance(kept[1], CallFailure)
    assert (kept[1].kind, kept[1].billing) == (FailureKind.BROKEN, Billing.UNKNOWN)
    assert len(store.blobs) == 2


async def test_a_full_store_still_leaves_the_bytes() -> None:
    store = FakeStore()
    store.is_full = True

    [kept] = await a_keeper(store=store).keep(
        a_call_made(b"image"), a_sent_order(), an_order(), deadline_s=math.inf
    )

    assert isinstance(kept, Kept)
    assert (kept.data, kept.is_stored) == (b"image", False)


async def test_an_answer_without_images_keeps_none() -> None:
    assert (
        await a_keeper().keep(
            replace(a_call_made(), images=()), a_sent_order(), an_order(), deadline_s=math.inf
        )
        == []
    )


async def test_the_state_of_content_credentials_is_kept_with_the_image() -> None:
    class Signed(FakeImaging):
        async def finish(self, data: bytes, finish: Finish | None, holder: str) -> FinishedImage:
            return replace(await super().finish(data, finish, holder), credentials=ContentCredentials.LOST)

    [kept] = await a_keeper(imaging=Signed()).keep(
        a_call_made(), a_sent_order(), an_order(), deadline_s=math.inf
    )

    assert isinstance(kept, Kept)
    assert kept.image.credentials is ContentCredentials.LOST


async def test_a_large_image_is_hashed_like_a_small_one() -> None:
    """It is hashed in parts."""
    large = bytes(5 * 1024 * 1024 + 1)

    [kept] = await a_keeper().keep(a_call_made(large), a_sent_order(), an_order(), deadline_s=math.inf)

    assert isinstance(kept, Kept)
    assert kept.image.digest == sha256(large).hexdigest()


async def test_the_answered_model_stays_with_the_image() -> None:
    made = replace(a_call_made(), answered_model="gpt-image-2-2026-04-21")

    [kept] = await a_keeper().keep(made, a_sent_order(), an_order(), deadline_s=math.inf)

    assert isinstance(kept, Kept)
    assert kept.image.answered_model == "gpt-image-2-2026-04-21"


async def test_a_write_ends_with_its_order() -> None:
    store = FakeStore()

    await a_keeper(store=store).keep(a_call_made(), a_sent_order(), an_order(), deadline_s=1234.0)

    assert store.deadlines_s == [1234.0]
