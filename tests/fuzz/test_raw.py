"""Send requests that are broken in every way: never a 500, never a wait without an end, never a cost."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.fuzz.breaking import Case, write_cases
from tests.http.house import until
from tests.http.offices import Office, open_office
from tests.processes import is_check, run_sandbox

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(900)]
_CASES, _TOGETHER = 10_000, 24
_SILENCE_S, _HANG_S = 3.0, 60.0
"""A server may wait for the rest of a body until the client is done; after that, it has to end."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to a request: its status, None without one."""

    case: Case
    status: int | None


@pytest.fixture(scope="module")
def provider() -> Iterator[httpx.Client]:
    """A sandbox with cheap images."""
    with run_sandbox() as url, httpx.Client(base_url=url, trust_env=False, timeout=60) as sandbox:
        sandbox.put("/sandbox/behaviour", json={"paint": "flat"}).raise_for_status()
        yield sandbox


@pytest.fixture(scope="module")
def office(provider: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A gateway with keys and without limits."""
    with open_office(
        tmp_path_factory.mktemp("raw"),
        sandbox="false",
        openai_base_url=f"{provider.base_url}/v1",
        openai_api_key="sk-provider",
        default_policy__requests_per_min=0,
        default_policy__images_per_min=0,
    ) as office:
        yield office


async def test_broken_requests_end_and_cost_nothing(
    office: Office, provider: httpx.Client, seed: int, fuzz_seconds: float | None
) -> None:
    created = office.create_key(team="fuzzing", role="admin")
    cases = write_cases(_CASES, seed=seed, key=created["key"])

    outcomes = await _send_all(office, cases, fuzz_seconds)

    statuses = Counter(outcome.status for outcome in outcomes)
    print(f"seed {seed}: {len(outcomes)} requests, {dict(sorted(statuses.items(), key=str))}")
    assert statuses[200] > len(outcomes) / 50, "hardly any request was good"
    assert [outcome.case for outcome in outcomes if (outcome.status or 0) >= 500] == []
    refused = {each.case.prompt for each in outcomes if (each.status or 0) >= 400 or each.case.is_cut}
    made = _orders_of(provider)
    assert [entry["prompt"] for entry in made if entry["prompt"] in refused] == []
    assert len(made) <= statuses[200] + statuses[None]
    until(lambda: _images_in_ledger(office) == sum(len(entry["images"]) for entry in _orders_of(provider)))
    assert b"traceback" not in office.gateway.log.read_bytes().lower()
    assert office.admin.get("/livez").status_code == 200


def _orders_of(provider: httpx.Client) -> list[dict[str, Any]]:
    entries = provider.get("/sandbox/journal", params={"settle_s": 10}).json()["entries"]
    return [entry for entry in entries if not is_check(entry)]


def _images_in_ledger(office: Office) -> int:
    return sum(row["images"] for row in office.admin.get("/admin/usage?team=fuzzing").json()["data"])


async def _send_all(office: Office, cases: list[Case], seconds: float | None) -> list[Outcome]:
    """Send the requests, some at a time, each on its own connection; those that *seconds* are enough for."""
    url = httpx.URL(office.gateway.url)
    ends_s = time.monotonic() + (seconds or float("inf"))
    waiting = iter(cases)
    outcomes: list[Outcome] = []

    async def send() -> None:
        for case in waiting:
            if time.monotonic() > ends_s:
                return
            outcomes.append(Outcome(case, await _send(url, case)))

    async with asyncio.TaskGroup() as group:
        for _ in range(_TOGETHER):
            group.create_task(send())
    return outcomes


async def _send(url: httpx.URL, case: Case) -> int | None:
    """Return the status of the answer; None if the connection ends without one."""
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        async with asyncio.timeout(_HANG_S):
            writer.write(case.wire)
            if case.is_cut:
                writer.write_eof()
            return await _read_status(reader, writer)
    except TimeoutError:
        raise AssertionError(f"nothing came of {case}") from None
    except ConnectionError:
        return None
    finally:
        writer.close()


async def _read_status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int | None:
    """Wait for an answer; a server that is silent learns that no more comes."""
    try:
        async with asyncio.timeout(_SILENCE_S):
            line = await reader.readline()
            while line.startswith(b"HTTP/1.1 100 ") or line == b"\r\n":
                line = await reader.readline()
    except TimeoutError:
        writer.write_eof()
        line = await reader.readline()
    return int(line.split()[1]) if line else None
