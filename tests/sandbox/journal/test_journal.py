"""The journal tells what was asked, answered and paid for."""

import hashlib
from pathlib import Path

import httpx
import orjson
import pytest

from service.sandbox.painting.watermark import read_watermark
from service.sandbox.rules.order_hash import order_hash
from tests.sandbox.image_files import read_files
from tests.sandbox.process import SandboxHandle, run_sandbox


async def test_an_answered_request_is_billed_image_by_image(sandbox: SandboxHandle) -> None:
    answer = await sandbox.generate(n=2, prompt="a fox", safety_identifier="user-1")

    (entry,) = await sandbox.journal()
    sent = {"model": "gpt-image-2", "n": 2, "prompt": "a fox", "safety_identifier": "user-1"}
    assert (entry["method"], entry["path"], entry["status"]) == ("POST", "/v1/images/generations", 200)
    assert (entry["billed"], entry["error_code"], entry["parameters"]) == (True, None, sent)
    assert (entry["model"], entry["prompt"], entry["safety_identifier"]) == ("gpt-image-2", "a fox", "user-1")
    assert entry["key_sha256"] == hashlib.sha256(b"sk-test").hexdigest()[:16]
    assert entry["request_id"] == answer.headers["x-request-id"]
    assert entry["started_monotonic_s"] <= entry["finished_monotonic_s"]
    assert entry["started_at"] <= entry["finished_at"]
    files = read_files(answer)
    assert [one["sha256"] for one in entry["images"]] == [hashlib.sha256(file).hexdigest() for file in files]
    assert [one["serial"] for one in entry["images"]] == [read_watermark(file).serial for file in files]
    assert {one["order_hash"] for one in entry["images"]} == {order_hash(sent)}
    assert {read_watermark(file).order_hash for file in files} == {order_hash(sent)}


async def test_since_leaves_out_what_was_seen(sandbox: SandboxHandle) -> None:
    for _ in range(3):
        await sandbox.client.get("/v1/models")
    first, second, third = await sandbox.journal()

    rest = await sandbox.journal(since=first["number"])

    assert [entry["number"] for entry in rest] == [second["number"], third["number"]]


async def test_forgets_on_request_but_goes_on_counting(sandbox: SandboxHandle) -> None:
    await sandbox.generate()
    (before,) = await sandbox.journal()

    await sandbox.client.delete("/sandbox/journal")

    assert await sandbox.journal() == []
    await sandbox.generate()
    (after,) = await sandbox.journal()
    assert after["number"] == before["number"] + 1
    assert after["images"][0]["serial"] == before["images"][0]["serial"] + 1


async def test_bills_a_caller_that_did_not_wait(sandbox: SandboxHandle) -> None:
    await sandbox.behave(latency_s=0.5)
    with pytest.raises(httpx.ReadTimeout):
        await sandbox.client.post(
            "/v1/images/generations", json={"model": "gpt-image-2", "prompt": "a cat"}, timeout=0.1
        )

    (running,) = await sandbox.journal(settle_s=0)
    (settled,) = await sandbox.journal()

    assert (running["status"], running["billed"], running["finished_at"]) == (None, False, None)
    assert (settled["status"], settled["billed"], len(settled["images"])) == (200, True, 1)


async def test_settling_ends_after_a_while(sandbox: SandboxHandle) -> None:
    await sandbox.behave(latency_s=0.5)
    with pytest.raises(httpx.ReadTimeout):
        await sandbox.client.post(
            "/v1/images/generations", json={"model": "gpt-image-2", "prompt": "a cat"}, timeout=0.1
        )

    answer = await sandbox.client.get("/sandbox/journal", params={"settle_s": 0.01})

    assert answer.json()["settled"] is False
    await sandbox.journal()


async def test_keeps_the_headers_that_tell_retries_apart(sandbox: SandboxHandle) -> None:
    await sandbox.client.get("/v1/models", headers={"x-stainless-retry-count": "2", "cookie": "secret"})

    (entry,) = await sandbox.journal()
    assert entry["headers"]["x-stainless-retry-count"] == "2"
    assert "cookie" not in entry["headers"]


@pytest.mark.parametrize("query", ["since=x", "settle_s=soon"])
async def test_refuses_a_query_it_cannot_read(sandbox: SandboxHandle, query: str) -> None:
    answer = await sandbox.client.get(f"/sandbox/journal?{query}")

    assert answer.status_code == 400


async def test_appends_lines_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    for _ in range(2):
        async with run_sandbox(journal_file=file) as own:
            await own.generate(prompt="one")
            await own.generate(prompt="forbidden-word")
            await own.client.delete("/sandbox/journal")

    lines = [orjson.loads(line) for line in file.read_bytes().splitlines()]

    assert [(line["number"], line["prompt"], line["billed"]) for line in lines] == [
        (1, "one", True),
        (2, "forbidden-word", False),
    ] * 2


async def test_serial_numbers_start_where_they_are_told() -> None:
    async with run_sandbox(first_serial=2**32 - 1) as own:
        await own.generate(n=2)
        (entry,) = await own.journal()

    assert [one["serial"] for one in entry["images"]] == [2**32 - 1, 1]
