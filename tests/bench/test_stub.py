"""The provider of the bench: its images are large enough, valid and never equal."""

import io

import orjson
import pybase64
from PIL import Image

from tests.bench.load import GENERATIONS, Order
from tests.bench.scenarios.orders import BASE64, LINK, fresh, fresh_edit, same
from tests.bench.servers import Running, run_process
from tests.bench.wire import Connection, Target


async def images_of(provider: Running, *orders: Order) -> list[bytes]:
    """Return the images of all answers."""
    found = []
    async with Connection(Target(provider.url, "bench")) as connection:
        for order in orders:
            answer = await connection.ask(
                "POST", order.path, {"content-type": order.content_type}, order.body
            )
            found += [pybase64.b64decode(one["b64_json"]) for one in orjson.loads(answer.content)["data"]]
    return found


async def test_a_prompt_says_how_large_an_image_is() -> None:
    with run_process("tests.bench.stub", "5000") as provider:
        small, large, edited, plain = await images_of(
            provider,
            fresh(BASE64, 20_000)(0),
            fresh(LINK, 1_500_000)(0),
            fresh_edit(400_000, 30_000)(0),
            Order(body=b"{}", path=GENERATIONS),
        )

    assert [round(len(image), -3) for image in (small, large, edited, plain)] == [
        20_000,
        1_500_000,
        30_000,
        5_000,
    ]
    assert Image.open(io.BytesIO(large)).size == (1024, 1024)


async def test_no_two_images_are_equal() -> None:
    again = same(BASE64, 5_000)
    with run_process("tests.bench.stub", "5000") as provider:
        images = await images_of(provider, again(0), again(1), fresh(BASE64, 5_000, count=3)(0))

    assert len(images) == len(set(images)) == 5


def test_fresh_orders_differ_and_the_same_order_does_not() -> None:
    new, again = fresh(BASE64, 5_000), same(BASE64, 5_000)

    assert len({new(0).body for _ in range(9)}) == 9
    assert len({again(number).body for number in range(9)}) == 1
