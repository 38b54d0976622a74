"""The line of a request has the fields of docs/logs.md: no more, no fewer, and of the types that it names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from starlette.types import Scope

from service.domain.images import Source
from service.domain.progress import ImageReady
from service.gateway.accounts.identify import ANYONE
from service.gateway.order.runner import RunningOrder
from service.http.request_line import fields_of, note_order, note_running
from service.ports.telemetry import RequestHandled
from tests.documents import quoted_in, read, rows_behind
from tests.fakes.values import a_ticket, an_image, an_order
from tests.http.house import GENERATIONS
from tests.http.offices import Office, open_office
from tests.http.test_request_lines import line_of

OF_EVERY_LINE = {"timestamp", "level", "event"}
TRACE = uuid4().hex
TRACED = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
TYPES = {"string": str, "integer": int, "number": float}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    directory: Path = tmp_path_factory.mktemp("office")
    with open_office(directory, sandbox="true") as office:
        yield office


def documented() -> dict[str, tuple[str, str]]:
    """Return the type of each field, and the lines that have it."""
    return {
        name: (kind, lines)
        for names, kind, lines, _ in rows_behind("\n## The line of a request\n", read("docs/logs.md"))
        for name in quoted_in(names)
    }


def check(line: dict[str, Any], *lines: str) -> None:
    """Check that *line* has the fields of these lines, each of its type."""
    fields = documented()
    assert set(line) - OF_EVERY_LINE == {name for name, (_, on) in fields.items() if on in lines}
    wrong = {
        name: value
        for name, value in line.items()
        if name not in OF_EVERY_LINE and type(value) is not TYPES[fields[name][0]]
    }
    assert wrong == {}


def written(office: Office, answer: httpx.Response) -> dict[str, Any]:
    """Return the line of the request behind *answer*."""
    return line_of(office.gateway, answer.headers["x-request-id"])


def order(client: httpx.Client, prompt: str, **fields: object) -> httpx.Response:
    body = {"model": "dall-e-3", "prompt": prompt, **fields}
    return client.post(GENERATIONS, json=body, headers=TRACED)


def test_an_order_has_its_ids_its_caller_its_images_and_its_stages(office: Office) -> None:
    key, prompt = office.create_key(), f"a lighthouse {uuid4().hex}"
    with office.client(key["key"]) as client:
        first, second = order(client, prompt), order(client, prompt, n=3)

    line = written(office, second)
    check(line, "every", "traced", "caller", "key", "order", "accepted", "begun", "made")
    assert (line["trace_id"], line["team"], line["key_id"]) == (TRACE, key["team"], key["id"])
    assert (line["made"], line["cached"], line["coalesced"], line["failed"]) == (2, 1, 0, 0)
    assert (line["cache"], line["calls"], line["attempts"]) == ("partial", 2, 2)
    assert (line["operation"], line["model"], line["n"]) == ("generate", "dall-e-3", 3)
    assert line["sent_model"] == second.headers["x-model-sent"]
    assert line["backend"] == second.headers["x-backend"] == "sandbox"
    assert line["cost_microusd"] == int(second.headers["x-cost-microusd"])
    assert (line["bytes_in"], line["bytes_out"]) == (len(second.request.content), len(second.content))
    assert 0 < line["upstream_ms"] < line["total_ms"] <= line["duration_ms"]
    assert written(office, first)["cache"] == "miss"
    assert prompt not in office.gateway.log.read_text("utf-8")


def test_a_429_says_who_by_which_limit_and_of_which_scope(office: Office) -> None:
    key = office.create_key(policy=office.put_policy(images_per_min=1))
    with office.client(key["key"]) as client:
        order(client, "first").raise_for_status()
        refused = order(client, "second")

    assert refused.status_code == 429
    line = written(office, refused)
    check(line, "every", "traced", "caller", "key", "order", "accepted", "failure", "refused")
    assert (line["team"], line["key_id"]) == (key["team"], key["id"])
    assert (line["limit"], line["scope"], line["code"]) == ("images", "key", "rate_limit_exceeded")
    assert (line["made"], line["attempts"], line["cost_microusd"]) == (0, 0, 0)


def test_an_order_that_is_not_accepted_has_its_model_and_no_course(office: Office) -> None:
    key = office.create_key(policy=office.put_policy(models=["gpt-image-2"]))
    with office.client(key["key"]) as client:
        refused = order(client, "of another model")

    assert refused.status_code == 403
    line = written(office, refused)
    check(line, "every", "traced", "caller", "key", "order", "failure")
    assert (line["model"], line["code"]) == ("dall-e-3", "model_not_found")


def test_the_older_route_has_an_order_too(office: Office) -> None:
    with office.client(office.create_key()["key"]) as client:
        answer = client.post("/generate_image", json={"prompt": f"a mill {uuid4().hex}"})

    line = written(office, answer.raise_for_status())
    check(line, "every", "caller", "key", "order", "accepted", "begun", "made")
    assert (line["model"], line["made"]) == ("dall-e-2", 1)


def test_other_requests_have_their_caller_if_they_need_one(office: Office) -> None:
    key = office.create_key()
    with office.client(key["key"]) as client:
        models = client.get("/v1/models")
    unknown = httpx.get(f"{office.gateway.url}/v1/models", trust_env=False)
    opened = httpx.get(f"{office.gateway.url}/docs", trust_env=False)

    check(written(office, models), "every", "caller", "key")
    check(written(office, unknown), "every", "failure")
    check(written(office, opened), "every")
    check(written(office, office.admin.get("/admin/teams")), "every", "caller")


def test_the_line_of_a_running_order_has_what_is_known_so_far() -> None:
    """Its caller has left, or its calls outlive its deadline."""
    running = RunningOrder("order-1")
    running.record.calls = 2
    image = an_image(answered_model="gpt-image-2.6-flare-2026")
    running.emit(ImageReady(position=0, image=image, source=Source.MADE))
    running.record.started_s = 10.0
    running.record.prices += [(Source.MADE, 40), (Source.MADE, None)]
    scope: Scope = {"state": {"request_id": "req_1", "identity": ANYONE}}
    note_order(scope, an_order())
    note_running(scope, a_ticket(), running)
    fact = RequestHandled(route="/v1/images/generations", method="POST", status=0, duration_s=2.5)

    line = fields_of(scope, fact, 12.0)

    check(line, "every", "caller", "order", "accepted", "begun", "named")
    assert (line["answered_model"], line["total_ms"]) == (image.answered_model, 2000.0)
    assert (line["cost_microusd"], line["unpriced"]) == (40, 1)
