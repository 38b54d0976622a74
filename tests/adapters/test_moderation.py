"""Judges of prompts: a list, and a provider that says yes, says no, or says nothing that can be used."""

import time
from typing import Any

import orjson
import pytest

from service.adapters.openai.address import BackendAddress
from service.adapters.openai.moderation import _TIMEOUT_S, ListModerator, ProviderModerator
from service.adapters.transport import open_transport
from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.images import Realm
from tests.adapters.openai.conftest import Script
from tests.processes import free_port

FLAGGED = {"flagged": True, "categories": {"violence": True, "hate": False, "self-harm": True}}


async def judge(
    url: str, prompt: str = "a boat", *, left_s: float = 5.0, **fields: Any
) -> CallFailure | None:
    address = BackendAddress(name="openai", realm=Realm.LIVE, url=url, **{"api_key": "sk-ours", **fields})
    transport = open_transport(url, connections=2)
    try:
        moderator = ProviderModerator(address, transport)
        return await moderator.judge(prompt, deadline_s=time.monotonic() + left_s)
    finally:
        await transport.aclose()


def answer_with(script: Script, *results: object) -> None:
    script.answer(200, orjson.dumps({"id": "modr-1", "model": "m", "results": list(results)}))


@pytest.mark.parametrize(
    "prompt", ["a bad word", "A BAD WORD", "Bad\nbad  word bad word", "\N{LATIN SMALL LETTER SHARP S}e"]
)
async def test_a_list_refuses_its_words_in_any_case(prompt: str) -> None:
    refusal = await ListModerator(["bad word", "SSE"]).judge(prompt, deadline_s=0.0)

    assert refusal is not None
    assert (refusal.kind, refusal.billing) == (FailureKind.REFUSED, Billing.NOT_BILLED)
    assert (refusal.status, refusal.code) == (400, "moderation_blocked")
    assert refusal.details == {"moderation_details": {"moderation_stage": "input", "categories": []}}


@pytest.mark.parametrize("words", [[], ["badword"], ["bad  word"]])
async def test_a_list_lets_everything_else_pass(words: list[str]) -> None:
    assert await ListModerator(words).judge("a bad word", deadline_s=0.0) is None


async def test_the_provider_is_asked_with_the_gateways_key(script: Script) -> None:
    answer_with(script, {"flagged": False, "categories": {}})

    assert await judge(f"{script.url}/", "a boat") is None
    head, _, body = script.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/moderations HTTP/1.1\r\n")
    assert b"authorization: bearer sk-ours" in head.lower()
    assert orjson.loads(body) == {"input": "a boat"}


async def test_a_server_without_a_key_is_asked_without_one(script: Script) -> None:
    answer_with(script, FLAGGED)

    refusal = await judge(script.url, kind="openai-compatible", api_key="", headers={"x-token": "hush"})

    assert refusal is not None
    assert b"authorization" not in script.requests[0].lower()
    assert b"x-token: hush" in script.requests[0]


async def test_a_flagged_prompt_is_refused_with_its_categories(script: Script) -> None:
    answer_with(script, FLAGGED)

    refusal = await judge(script.url)

    assert refusal is not None
    assert (refusal.kind, refusal.code) == (FailureKind.REFUSED, "moderation_blocked")
    assert refusal.type == "image_generation_user_error"
    assert refusal.details["moderation_details"]["categories"] == ["violence", "self-harm"]


async def test_a_flag_without_categories_is_a_refusal(script: Script) -> None:
    answer_with(script, {"flagged": True})

    assert await judge(script.url) is not None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"null",
        b"[]",
        b"7",
        b'"text"',
        b"{}",
        b'{"results": []}',
        b'{"results": {}}',
        b'{"results": null}',
        b'{"results": [null]}',
        b'{"results": ["text"]}',
        b'{"results": [7]}',
    ],
)
async def test_an_unusable_answer_lets_the_prompt_pass(script: Script, body: bytes) -> None:
    """The image model judges it again."""
    script.answer(200, body, "content-type: application/json")

    assert await judge(script.url) is None


async def test_other_texts_are_no_categories(script: Script) -> None:
    answer_with(
        script,
        {"flagged": True, "categories": {"self-harm/intent": True, "a fight": True, "sk-" + "x" * 60: True}},
    )

    refusal = await judge(script.url)

    assert isinstance(refusal, CallFailure)
    assert refusal.details["moderation_details"]["categories"] == ["self-harm/intent"]


@pytest.mark.parametrize("categories", [None, [], "violence", 7])
async def test_a_flag_counts_with_any_categories(script: Script, categories: object) -> None:
    answer_with(script, {"flagged": True, "categories": categories})

    refusal = await judge(script.url)

    assert refusal is not None
    assert refusal.kind is FailureKind.REFUSED


@pytest.mark.parametrize("status", [301, 400, 401, 404, 429, 500, 503])
async def test_a_provider_that_fails_lets_the_prompt_pass(
    script: Script, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    script.answer(status, orjson.dumps({"error": {"message": "no"}}), "location: http://127.0.0.1:1/")

    assert await judge(script.url) is None
    assert len(script.requests) == 1
    [record] = caplog.records
    assert vars(record)["reason"] == f"answered {status}"


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\x00\x01",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc",
    ],
)
async def test_a_broken_connection_lets_the_prompt_pass(script: Script, reply: bytes) -> None:
    script.reply = reply

    assert await judge(script.url) is None


async def test_an_unreachable_provider_lets_the_prompt_pass() -> None:
    assert await judge(f"http://127.0.0.1:{free_port()}/v1") is None


async def test_no_judge_is_waited_for_beyond_the_deadline(script: Script) -> None:
    # An announced body that never comes.
    script.reply = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n"
    script.holds_on = True
    started_s = time.monotonic()

    assert await judge(script.url, left_s=0.2) is None
    assert await judge(script.url, left_s=-1.0) is None
    # Otherwise it would have ended the first by the time-out of its own.
    assert time.monotonic() - started_s < _TIMEOUT_S
