"""The behaviour that `PUT /sandbox/behaviour` sets."""

import hashlib
import time

import httpx
import orjson
import pytest

from tests.sandbox.image_files import open_image, read_files
from tests.sandbox.process import SandboxHandle, run_sandbox


async def test_takes_its_time(sandbox: SandboxHandle) -> None:
    await sandbox.behave(latency_s=0.1, latency_jitter_s=0.05)
    started_s = time.monotonic()

    answer = await sandbox.generate()

    assert time.monotonic() - started_s >= 0.1
    assert int(answer.headers["openai-processing-ms"]) >= 100


async def test_failures_are_consumed_in_order(sandbox: SandboxHandle) -> None:
    await sandbox.behave(
        failures=[{"status": 500, "count": 2}, {"status": 503, "code": "server_is_overloaded"}]
    )

    answers = [await sandbox.generate() for _ in range(4)]

    assert [answer.status_code for answer in answers] == [500, 500, 503, 200]
    assert answers[0].json()["error"]["type"] == "server_error"
    assert answers[2].json()["error"]["type"] == "service_unavailable_error"
    assert [entry["billed"] for entry in await sandbox.journal()] == [False, False, False, True]


async def test_a_burst_of_429_says_when_to_come_back(sandbox: SandboxHandle) -> None:
    await sandbox.behave(
        failures=[{"status": 429, "code": "rate_limit_exceeded", "count": 2, "retry_after_s": 1.25}]
    )

    answer = await sandbox.generate()

    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("2", "1250")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "billing_hard_limit_reached", "billing_limit_user_error"),
        (401, "invalid_api_key", "invalid_request_error"),
        (403, None, "invalid_request_error"),
        (429, "insufficient_quota", "insufficient_quota"),
        (429, "slow_down", "rate_limit_error"),
        (410, None, "invalid_request_error"),
    ],
)
async def test_failures_have_the_type_of_their_code(
    sandbox: SandboxHandle, status: int, code: str | None, kind: str
) -> None:
    await sandbox.behave(failures=[{"status": status, "code": code}])

    answer = await sandbox.generate()

    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"], error["param"]) == (status, kind, code, None)
    assert "retry-after" not in answer.headers
    (entry,) = await sandbox.journal()
    assert (entry["status"], entry["error_code"]) == (status, code)


async def test_a_failure_after_painting_is_billed(sandbox: SandboxHandle) -> None:
    await sandbox.behave(failures=[{"status": 500, "after_painting": True, "message": "Sorry."}])

    answer = await sandbox.generate(n=2)

    (entry,) = await sandbox.journal()
    assert (answer.status_code, answer.json()["error"]["message"]) == (500, "Sorry.")
    assert (entry["billed"], len(entry["images"])) == (True, 2)


async def test_broken_bodies(sandbox: SandboxHandle) -> None:
    await sandbox.behave(
        failures=[
            {"status": 502, "body": "html"},
            {"status": 200, "body": "truncated_json", "after_painting": True},
            {"status": 500, "body": "truncated_json"},
            {"status": 503, "body": "empty"},
        ]
    )

    page, cut, envelope, nothing = [await sandbox.generate() for _ in range(4)]

    assert (page.status_code, page.headers["content-type"]) == (502, "text/html; charset=utf-8")
    assert (cut.status_code, cut.content.startswith(b'{"created":')) == (200, True)
    assert envelope.content.startswith(b'{"error":')
    assert nothing.content == b""
    for answer in (cut, envelope):
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(answer.content)
    assert [entry["billed"] for entry in await sandbox.journal()] == [False, True, False, False]


async def test_failures_may_wait_for_a_prompt(sandbox: SandboxHandle) -> None:
    await sandbox.behave(failures=[{"status": 500}], failure_match="dragon")

    answers = [await sandbox.generate(prompt=prompt) for prompt in ("a cat", "a dragon", "a dragon")]

    assert [answer.status_code for answer in answers] == [200, 500, 200]


async def test_refuses_the_words_it_is_given(sandbox: SandboxHandle) -> None:
    await sandbox.behave(refuse_words=["mouse"])

    answers = [await sandbox.generate(prompt=prompt) for prompt in ("a MOUSE", "a forbidden-word")]

    assert [answer.status_code for answer in answers] == [400, 200]


async def test_returns_fewer_images_than_asked(sandbox: SandboxHandle) -> None:
    await sandbox.behave(images_short=1)

    three, none = await sandbox.generate(n=4), await sandbox.generate(n=1)

    assert (len(read_files(three)), read_files(none)) == (3, [])
    assert [(entry["billed"], len(entry["images"])) for entry in await sandbox.journal()] == [
        (True, 3),
        (False, 0),
    ]


async def test_flat_images_are_small(sandbox: SandboxHandle) -> None:
    full = read_files(await sandbox.generate())[0]
    await sandbox.behave(paint="flat")

    flat = read_files(await sandbox.generate())[0]

    assert len(flat) * 5 < len(full)
    assert open_image(flat).size == (1024, 1024)


async def test_repeats_images_when_told(sandbox: SandboxHandle) -> None:
    await sandbox.behave(repeat_pictures=True)

    first, again = [read_files(await sandbox.generate(n=2)) for _ in range(2)]
    other = read_files(await sandbox.generate(n=2, prompt="another"))

    assert first == again
    assert len({*first, *other}) == 4


async def test_what_is_left_out_is_as_at_the_start() -> None:
    async with run_sandbox(latency_s=0.01) as own:
        await own.behave(images_short=1)
        await own.behave(paint="flat")
        shown = (await own.client.get("/sandbox/behaviour")).json()
        back = (await own.client.delete("/sandbox/behaviour")).json()

    assert (shown["paint"], shown["images_short"], shown["latency_s"]) == ("flat", None, 0.01)
    assert (back["paint"], back["latency_s"]) == ("full", 0.01)


@pytest.mark.parametrize(
    "body",
    [
        {"latencys": 1},
        {"latency_s": -1},
        {"paint": "oil"},
        {"failures": [{"status": 500, "body": "png"}]},
        {"failures": [{"status": 99}]},
        {"failures": [{"status": 500, "count": 0}]},
        {"failures": [{"status": 500, "extra": 1}]},
        [],
    ],
)
async def test_refuses_behaviour_it_does_not_know_and_changes_nothing(
    sandbox: SandboxHandle, body: object
) -> None:
    await sandbox.behave(images_short=1)

    answer = await sandbox.client.put("/sandbox/behaviour", json=body)

    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert (await sandbox.client.get("/sandbox/behaviour")).json()["images_short"] == 1


async def test_paints_beside_the_event_loop(sandbox: SandboxHandle) -> None:
    """A small question is answered while large images are being painted."""
    with pytest.raises(httpx.ReadTimeout):
        await sandbox.client.post(
            "/v1/images/generations",
            json={
                "model": "gpt-image-2",
                "prompt": "large",
                "size": "3840x2160",
                "n": 8,
                "output_format": "webp",
            },
            timeout=0.01,
        )

    (running,) = await sandbox.journal(settle_s=0)
    (settled,) = await sandbox.journal(settle_s=20)

    assert (running["status"], settled["status"]) == (None, 200)


async def test_living_models_answer_urls_if_told_to(sandbox: SandboxHandle) -> None:
    await sandbox.behave(answer_urls=True, paint="flat")

    answer = await sandbox.generate(n=2)

    entries = answer.json()["data"]
    assert [set(entry) for entry in entries] == [{"url"}, {"url"}]
    files = [(await sandbox.client.get(entry["url"])).content for entry in entries]
    (entry,) = await sandbox.journal()
    assert [hashlib.sha256(file).hexdigest() for file in files] == [
        image["sha256"] for image in entry["images"]
    ]


@pytest.mark.parametrize(("output_format", "has_credentials"), [("png", True), ("jpeg", False)])
async def test_images_carry_content_credentials_if_told_to(
    sandbox: SandboxHandle, output_format: str, has_credentials: bool
) -> None:
    """A chunk that any reader of PNGs skips; the journal says which images have it."""
    await sandbox.behave(embed_credentials=True)

    answer = await sandbox.generate(output_format=output_format)

    (file,) = read_files(answer)
    (entry,) = await sandbox.journal()
    assert (file.find(b"caBX") == 37) is has_credentials
    assert entry["images"][0]["has_credentials"] is has_credentials
    assert open_image(file).size == (1024, 1024)


async def test_images_carry_none_by_themselves(sandbox: SandboxHandle) -> None:
    answer = await sandbox.generate()

    (file,) = read_files(answer)
    (entry,) = await sandbox.journal()
    assert b"caBX" not in file
    assert entry["images"][0]["has_credentials"] is False
