"""Orders that are refused before they are read count like all others: once, with a code and their team."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.http.images import MAX_GENERATION_BYTES
from tests.http.house import EDITS, GENERATIONS, VARIATIONS, until
from tests.http.offices import Office, open_office

STREAM = f"{GENERATIONS}/stream"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    directory: Path = tmp_path_factory.mktemp("office")
    with open_office(directory, sandbox="true") as office:
        yield office


def refused(office: Office) -> Counter[tuple[str, str, str]]:
    """Return the numbers of refused orders, by operation, code and team."""
    found: Counter[tuple[str, str, str]] = Counter()
    for labels, value in re.findall(r"imagegw_orders_total{(.*)} (.*)", office.admin.get("/metrics").text):
        told = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if told["outcome"] == "refused" and told["code"]:
            found[told["operation"], told["code"], told["team"]] = int(float(value))
    return found


@pytest.mark.parametrize(
    ("route", "given", "status", "code"),
    [
        (GENERATIONS, {"json": {"prompt": "x", "n": 99}}, 400, "invalid_order"),
        (STREAM, {"json": {"prompt": "x", "model": "none"}}, 400, "invalid_order"),
        ("/generate_image", {"json": {}}, 400, "invalid_order"),
        (GENERATIONS, {"content": b"a prompt"}, 415, "unsupported_media_type"),
        (VARIATIONS, {"json": {}}, 415, "unsupported_media_type"),
        (
            GENERATIONS,
            {"json": {}, "headers": {"content-encoding": "br"}},
            415,
            "unsupported_content_encoding",
        ),
        (GENERATIONS, {"json": {"prompt": "x" * MAX_GENERATION_BYTES}}, 413, "request_too_large"),
        (EDITS, {"json": {"prompt": "x", "images": []}}, 400, "invalid_order"),
    ],
)
def test_an_order_of_a_caller_is_counted_with_its_code_and_its_team(
    office: Office, route: str, given: dict[str, Any], status: int, code: str
) -> None:
    key = office.create_key()
    with office.client(key["key"]) as client:
        answer = client.post(route, **given)

    assert answer.status_code == status
    operation = {EDITS: "edit", VARIATIONS: "vary"}.get(route, "generate")
    until(lambda: refused(office)[operation, code, key["team"]] == 1)
    assert sum(number for (_, _, team), number in refused(office).items() if team == key["team"]) == 1


def test_an_order_of_an_unknown_caller_is_no_teams(office: Office) -> None:
    before = refused(office)

    for path in (GENERATIONS, "/openai/deployments/any/images/generations"):
        assert httpx.post(f"{office.gateway.url}{path}", json={}, trust_env=False).status_code == 401

    added = Counter({("generate", "invalid_api_key", "other"): 2})
    until(lambda: refused(office) - before == added)


def test_what_is_no_order_is_not_counted(office: Office) -> None:
    with office.client(office.create_key()["key"]) as client:
        before = refused(office)
        assert client.get(GENERATIONS).status_code == 405
        assert client.post("/v1/images/unknown", json={}).status_code == 404

    assert refused(office) == before
