"""Direct routes: FastAPI matches and documents them, and their endpoints get the request and the path only."""

import os
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import httpx
import orjson
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, Request
from pydantic import BaseModel
from starlette.middleware import Middleware
from starlette.responses import Response

from service.domain.errors import NotFound
from service.http.direct import DirectRoute, DirectRoutes
from service.http.errors import HANDLED, answer_error
from tests.http.house import GENERATIONS, House, open_house, until
from tests.http.wire import Connection, check_goes_on, post

GONE = NotFound("There is no such thing.")


class Thing(BaseModel):
    """A body that FastAPI would parse."""


async def echo(request: Request, name: str) -> Response:
    if name == "gone":
        # One instance, again and again.
        raise GONE
    return Response(f"{request.method} {name}")


async def with_query(request: Request, page: int = 1) -> Response:
    raise AssertionError


async def with_header(request: Request, agent: Annotated[str, Header()]) -> Response:
    raise AssertionError


async def with_body(request: Request, body: Thing) -> Response:
    raise AssertionError


async def with_dependency(request: Request, depends: Annotated[str, Depends(os.getcwd)]) -> Response:
    raise AssertionError


async def with_number(request: Request, number: int) -> Response:
    raise AssertionError


async def without_request() -> Response:
    raise AssertionError


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/", with_query),
        ("/", with_header),
        ("/", with_body),
        ("/", with_dependency),
        ("/{number}", with_number),
        ("/", without_request),
    ],
)
def test_an_endpoint_that_wants_more_is_refused_at_the_start(path: str, endpoint: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=endpoint.__name__):
        APIRouter(route_class=DirectRoute).post(path)(endpoint)


def an_app() -> FastAPI:
    router = APIRouter(route_class=DirectRoute)
    router.post("/things/{name}", operation_id="echoThing")(echo)
    return FastAPI(
        routes=router.routes,
        middleware=[Middleware(DirectRoutes, routes=router.routes)],
        exception_handlers=dict.fromkeys(HANDLED, answer_error),
    )


async def ask(method: str, path: str) -> httpx.Response:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(an_app()), base_url="http://gateway"
    ) as client:
        return await client.request(method, path)


async def test_the_endpoint_gets_the_request_and_the_path() -> None:
    assert (await ask("POST", "/things/a%20b")).text == "POST a b"


async def test_another_method_is_a_405_in_the_envelope() -> None:
    answer = await ask("PUT", "/things/a")

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["error"]["code"] == "method_not_allowed"


async def test_a_failure_is_answered_in_the_envelope_and_collects_no_frames() -> None:
    answer = await ask("POST", "/things/gone")

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert GONE.__traceback__ is None


def test_the_document_has_the_route_with_its_parameters() -> None:
    operation = an_app().openapi()["paths"]["/things/{name}"]["post"]

    assert operation["operationId"] == "echoThing"
    assert [each["name"] for each in operation["parameters"]] == ["name"]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("direct")) as house:
        yield house


def an_order(name: str, *, model: str = "gpt-image-1") -> bytes:
    """Return an order with *name* as its prompt and its id."""
    return post(orjson.dumps({"prompt": name, "model": model}), f"x-request-id: {name}")


def test_pipelined_orders_are_answered_in_turn_and_their_bodies_may_come_in_pieces(house: House) -> None:
    house.behave(paint="flat")
    first, refused, last = an_order("first"), an_order("refused", model="none"), an_order("last")

    with Connection(house.gateway.url) as connection:
        for part in (first[:-20], first[-20:-10], first[-10:] + refused + last[:-1], last[-1:]):
            connection.send(part)
        answers = [connection.read_answer() for _ in range(3)]
        check_goes_on(connection)

    assert [answer.header("x-request-id") for answer in answers] == ["first", "refused", "last"]
    assert [answer.status for answer in answers] == [200, 400, 200]
    assert [len(house.journal(prompt=name)) for name in ("first", "last")] == [1, 1]


@pytest.mark.parametrize("behind", ["", "unread"])
def test_an_image_is_kept_for_a_client_that_leaves_while_its_order_runs(house: House, behind: str) -> None:
    """Also with another order behind it in the pipeline, which is not read any more."""
    name = f"left{behind}"
    house.behave(paint="flat", latency_s=1.0)
    with Connection(house.gateway.url) as connection:
        connection.send(an_order(name) + (an_order(behind) if behind else b""))
        until(lambda: name in house.sandbox.get("/sandbox/journal").text)

    until(lambda: name in statuses(house))
    again = house.client.post(GENERATIONS, json={"prompt": name, "model": "gpt-image-1"})

    assert statuses(house)[name] == 499
    assert again.headers["x-cost-microusd"] == "0"
    assert (len(house.journal(prompt=name)), house.journal(prompt="unread")) == (1, [])


def test_a_client_that_leaves_within_its_body_orders_nothing(house: House) -> None:
    with house.unharmed(), Connection(house.gateway.url) as connection:
        connection.send(an_order("broken-off")[:-1])
        # Its head is read meanwhile.
        assert connection.wait_quietly(0.1) == b""

    until(lambda: "broken-off" in statuses(house))
    assert statuses(house)["broken-off"] == 499
    assert house.journal(prompt="broken-off") == []


def statuses(house: House) -> dict[str, int]:
    """Return the statuses of the requests so far, by their ids."""
    return {line["request_id"]: line["status"] for line in house.gateway.log_lines("request")}
