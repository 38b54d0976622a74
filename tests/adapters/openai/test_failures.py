"""Every failure of the provider and its billing, over real sockets."""

import asyncio
import base64
import socket
from collections.abc import Mapping

import aiohttp
import httpx
import orjson
import pytest

from service.adapters.openai.failures import ROWS, Reading, classify_answer, classify_exception
from service.domain.failures import Billing, FailureKind
from tests.adapters.openai.conftest import CALL, Script, Watched, failed, make_call, open_backend
from tests.processes import free_port
from tests.sandbox.process import SandboxHandle

MISCONFIGURED, RATE_LIMITED = FailureKind.MISCONFIGURED, FailureKind.RATE_LIMITED
OVERLOADED, INVALID, REFUSED = FailureKind.OVERLOADED, FailureKind.INVALID, FailureKind.REFUSED
ACCOUNT_CODES = (
    "billing_hard_limit_reached",
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
)

ENVELOPES: list[tuple[int, dict[str, str], FailureKind]] = [
    *((status, {"code": code}, MISCONFIGURED) for code in ACCOUNT_CODES for status in (400, 429)),
    (429, {"type": "insufficient_quota", "code": "never_seen"}, MISCONFIGURED),
    (400, {"type": "billing_limit_user_error"}, MISCONFIGURED),
    (401, {"code": "invalid_api_key"}, MISCONFIGURED),
    (401, {}, MISCONFIGURED),
    (403, {}, MISCONFIGURED),
    (404, {"code": "model_not_found"}, FailureKind.MODEL_MISSING),
    (404, {}, MISCONFIGURED),
    (405, {}, MISCONFIGURED),
    (410, {}, MISCONFIGURED),
    (400, {"param": "model", "code": "invalid_value"}, FailureKind.MODEL_MISSING),
    (400, {"code": "model_not_found"}, FailureKind.MODEL_MISSING),
    (404, {"param": "model", "code": "404"}, FailureKind.MODEL_MISSING),
    (400, {"code": "moderation_blocked"}, REFUSED),
    (400, {"code": "content_policy_violation"}, REFUSED),
    (403, {"code": "moderation_blocked"}, REFUSED),
    (429, {"code": "rate_limit_exceeded", "type": "requests"}, RATE_LIMITED),
    (429, {"code": "slow_down"}, RATE_LIMITED),
    (429, {}, RATE_LIMITED),
    *((status, {}, OVERLOADED) for status in (500, 503, 529)),
    *((status, {"param": "size"}, INVALID) for status in (400, 409, 413, 415, 422)),
]
OF_AZURE: list[tuple[int, dict[str, object]]] = [
    (403, {"message": "It has been temporarily blocked because we detected behavior that may violate it."}),
    (400, {"inner_error": {"code": "ResponsibleAIPolicyViolation"}}),
    (400, {"message": "This request has been blocked by our content filters."}),
    (400, {"code": "BadRequest", "message": "API version not supported"}),
]
"""Judged in full by `test_azure`."""


def envelope(**fields: object) -> dict[str, object]:
    return {
        "error": {"message": "As the provider said.", "type": None, "param": None, "code": None, **fields}
    }


@pytest.mark.parametrize(("status", "fields", "kind"), ENVELOPES)
def test_a_complete_envelope_was_not_billed(status: int, fields: dict[str, str], kind: FailureKind) -> None:
    failure = classify_answer(status, {}, envelope(**fields))

    assert (failure.kind, failure.billing, failure.status) == (kind, Billing.NOT_BILLED, status)
    ours = failure.kind in (MISCONFIGURED, FailureKind.MODEL_MISSING)
    assert ("As the provider said." in failure.message) != ours, "our own trouble is not the caller's to read"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (408, FailureKind.TIMED_OUT),
        (502, FailureKind.BROKEN),
        (504, FailureKind.TIMED_OUT),
        (520, FailureKind.BROKEN),
        (524, FailureKind.TIMED_OUT),
    ],
)
@pytest.mark.parametrize("body", [{"error": {"message": "As the proxy said."}}, None], ids=["error", "none"])
def test_an_answer_that_a_proxy_may_have_written_is_of_unknown_billing(
    status: int, kind: FailureKind, body: object
) -> None:
    """The server behind it may still be painting."""
    failure = classify_answer(status, {}, body)

    assert (failure.kind, failure.billing, failure.status) == (kind, Billing.UNKNOWN, status)
    assert "As the proxy said." not in failure.message


@pytest.mark.parametrize(
    ("status", "kind"), [(502, FailureKind.BROKEN), (504, FailureKind.TIMED_OUT), (520, FailureKind.BROKEN)]
)
def test_a_server_that_answers_for_itself_is_believed(status: int, kind: FailureKind) -> None:
    reading = Reading(answers_for_itself=True)

    failure = classify_answer(status, {}, envelope(), reading)
    without_error = classify_answer(status, {}, None, reading)

    assert (failure.kind, failure.billing) == (OVERLOADED, Billing.NOT_BILLED)
    assert (without_error.kind, without_error.billing) == (kind, Billing.UNKNOWN)


def test_every_row_has_an_answer_here() -> None:
    answers: list[tuple[int, Mapping[str, object]]] = [
        *OF_AZURE,
        *((status, fields) for status, fields, _ in ENVELOPES),
    ]
    errors = [(status, {"message": "As the provider said.", **fields}) for status, fields in answers]

    met = [next(row for row in ROWS if row.fits(status, error)) for status, error in errors]

    assert [row.source for row in ROWS if row not in met] == []


@pytest.mark.parametrize("status", [201, 204, 301, 302, 304, 307, 402, 418, 451, 507, 599])
def test_an_unspecified_status_is_of_unknown_billing(status: int) -> None:
    failure = classify_answer(status, {}, envelope())

    assert (failure.kind, failure.billing) == (FailureKind.BROKEN, Billing.UNKNOWN)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "error",
        1,
        {},
        {"error": None},
        {"error": "text"},
        {"error": {}},
        {"error": {"message": 1}},
        {"detail": "x"},
    ],
    ids=str,
)
@pytest.mark.parametrize("status", [400, 429, 500, 503])
def test_without_a_complete_envelope_the_billing_is_unknown(status: int, body: object) -> None:
    failure = classify_answer(status, {}, body)

    assert (failure.kind, failure.billing, failure.status) == (FailureKind.BROKEN, Billing.UNKNOWN, status)


def test_fields_of_strange_types_are_dropped_and_long_ones_cut() -> None:
    strange = envelope(code=7, type=["x"], param={"a": 1}, message="m" * 5000, extra="kept")

    failure = classify_answer(400, {}, strange)

    assert (failure.code, failure.type, failure.param) == (None, None, None)
    assert len(failure.message) == 1000
    assert failure.details == {"extra": "kept"}


def test_a_long_message_is_read_to_a_bound() -> None:
    message = "No. " * 2_000_000 + "try again in 20s"

    failure = classify_answer(429, {}, envelope(message=message))

    assert (failure.kind, failure.retry_after_s) == (RATE_LIMITED, None)
    assert len(failure.cause) < 20_000


def test_only_so_many_details_are_looked_at() -> None:
    large = {f"large {number}": "x" * 9000 for number in range(2000)}

    failure = classify_answer(400, {}, envelope(first=1, **large, last=1))

    assert failure.details == {"first": 1}


@pytest.mark.parametrize(
    ("scripted", "kind"),
    [
        ({"status": 401, "code": "invalid_api_key"}, MISCONFIGURED),
        ({"status": 403}, MISCONFIGURED),
        ({"status": 400, "code": "billing_hard_limit_reached"}, MISCONFIGURED),
        ({"status": 429, "code": "credit_balance_exhausted"}, MISCONFIGURED),
        ({"status": 429, "code": "slow_down"}, RATE_LIMITED),
        ({"status": 500}, OVERLOADED),
        ({"status": 503, "code": "server_is_overloaded"}, OVERLOADED),
    ],
)
async def test_envelopes_of_the_provider(
    provider: SandboxHandle, scripted: dict[str, object], kind: FailureKind
) -> None:
    await provider.behave(failures=[scripted])

    failure = failed(await make_call(f"{provider.url}/v1"))

    assert (failure.kind, failure.billing) == (kind, Billing.NOT_BILLED)
    (entry,) = await provider.journal()
    assert not entry["billed"]


async def test_a_rate_limit_of_the_provider_has_its_exact_retry_after_time(provider: SandboxHandle) -> None:
    await provider.behave(failures=[{"status": 429, "code": "rate_limit_exceeded", "retry_after_s": 0.534}])

    failure = failed(await make_call(f"{provider.url}/v1"))

    assert (failure.kind, failure.retry_after_s, failure.code) == (RATE_LIMITED, 0.534, "rate_limit_exceeded")


async def test_a_refused_prompt_is_the_callers_and_keeps_its_details(provider: SandboxHandle) -> None:
    await provider.behave(refuse_words=["heron"])

    failure = failed(await make_call(f"{provider.url}/v1"))

    assert (failure.kind, failure.is_callers_own, failure.status) == (REFUSED, True, 400)
    assert failure.details["moderation_details"]["moderation_stage"] == "input"


@pytest.mark.parametrize("body", ["html", "empty", "truncated_json"])
@pytest.mark.parametrize("status", [200, 429, 500, 502])
async def test_an_unusable_answer_may_have_been_billed(
    provider: SandboxHandle, status: int, body: str
) -> None:
    await provider.behave(failures=[{"status": status, "body": body, "after_painting": True}])

    failure = failed(await make_call(f"{provider.url}/v1"))

    assert (failure.kind, failure.billing) == (FailureKind.BROKEN, Billing.UNKNOWN)
    (entry,) = await provider.journal()
    assert entry["billed"], "which is why nobody may assume otherwise"


async def test_a_refused_connection_cost_nothing() -> None:
    failure = failed(await make_call(f"http://127.0.0.1:{free_port()}/v1"))

    assert (failure.kind, failure.billing) == (FailureKind.UNREACHABLE, Billing.NOT_BILLED)


async def test_a_name_that_does_not_exist_cost_nothing() -> None:
    failure = failed(await make_call("http://provider.invalid/v1"))

    assert (failure.kind, failure.billing) == (FailureKind.UNREACHABLE, Billing.NOT_BILLED)


async def test_a_failed_connection_cost_nothing() -> None:
    """A listener whose queue is full swallows the first packet."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        with socket.create_connection(address), socket.socket() as second, socket.socket() as third:
            for waiting in (second, third):
                waiting.setblocking(False)
                waiting.connect_ex(address)

            failure = failed(await make_call(f"http://127.0.0.1:{address[1]}/v1"))

    assert (failure.kind, failure.billing) == (FailureKind.UNREACHABLE, Billing.NOT_BILLED)


@pytest.mark.parametrize(
    ("mode", "fields", "kind"),
    [
        ("hang_after_accept", {}, FailureKind.TIMED_OUT),
        ("hang_after_request", {}, FailureKind.TIMED_OUT),
        ("drop_reply", {}, FailureKind.TIMED_OUT),
        ("reset_after_request", {}, FailureKind.BROKEN),
        ("truncate", {"after_bytes": 0}, FailureKind.BROKEN),
        ("truncate", {"after_bytes": 10}, FailureKind.BROKEN),
        ("truncate", {"after_bytes": 2000}, FailureKind.BROKEN),
    ],
)
async def test_a_sent_call_without_an_answer_is_of_unknown_billing(
    provider: SandboxHandle, mode: str, fields: dict[str, int], kind: FailureKind
) -> None:
    await provider.fault(mode, **fields)

    failure = failed(await make_call(f"{provider.fault_url}/v1"))

    assert (failure.kind, failure.billing) == (kind, Billing.UNKNOWN)


async def test_an_answer_that_drips_is_waited_for(provider: SandboxHandle) -> None:
    """Between two reads, and not for the whole, the time-out counts: long answers are long."""
    await provider.behave(paint="flat")
    await provider.fault("drip", bytes_per_s=10_000)

    result = await make_call(f"{provider.fault_url}/v1")

    assert not hasattr(result, "billing"), result


async def test_a_connection_closed_while_idle_is_not_a_connection_error(
    provider: SandboxHandle,
) -> None:
    """A request on a dead connection may or may not have arrived: never UNREACHABLE, which would be retried."""
    async with open_backend(f"{provider.fault_url}/v1") as backend:
        assert not hasattr(await backend.make(CALL, Watched()), "billing")
        await provider.fault("reset_after_request")

        failure = failed(await backend.make(CALL, Watched()))

    assert (failure.kind, failure.billing) == (FailureKind.BROKEN, Billing.UNKNOWN)


BAD_BASE64 = ("a", "====", "a!b=", "aGVs=bG8=", "ä", "data:image/png;base64,?", "data:,")
NO_ANSWERS = {
    "not JSON": b"<html>",
    "an array": b"[]",
    "null": b"null",
    "no data": b"{}",
    "data that is null": b'{"data": null}',
    "data that is no list": b'{"data": {"b64_json": "aGVsbG8="}}',
    "no images": b'{"data": []}',
    "an image that is null": b'{"data": [null]}',
    "an image without bytes": b'{"data": [{}]}',
    "a URL": b'{"data": [{"url": "http://127.0.0.1/"}]}',
    "bytes that are a number": b'{"data": [{"b64_json": 7}]}',
    **{f"base64 {text!r}": orjson.dumps({"data": [{"b64_json": text}]}) for text in BAD_BASE64},
}


@pytest.mark.parametrize("body", NO_ANSWERS.values(), ids=NO_ANSWERS)
async def test_a_200_without_images_is_of_unknown_billing(script: Script, body: bytes) -> None:
    script.answer(200, body)

    failure = failed(await make_call(script.url))

    assert (failure.kind, failure.billing, failure.status) == (FailureKind.BROKEN, Billing.UNKNOWN, 200)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\x00\x01\x02",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: nonsense\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
    ids=lambda reply: repr(reply[:40]),
)
async def test_an_answer_that_is_not_http_is_of_unknown_billing(script: Script, reply: bytes) -> None:
    script.reply = reply

    failure = failed(await make_call(script.url))

    assert (failure.kind, failure.billing) == (FailureKind.BROKEN, Billing.UNKNOWN)


async def test_a_redirect_is_not_followed_with_the_gateways_key(script: Script) -> None:
    script.answer(307, b"", f"location: {script.url}/elsewhere")

    failure = failed(await make_call(script.url))

    assert (failure.kind, failure.billing) == (FailureKind.BROKEN, Billing.UNKNOWN)
    assert len(script.requests) == 1


async def test_an_answer_without_end_is_given_up(script: Script) -> None:
    """64 MiB for an image are more than any image needs; a byte more ends it."""
    size_bytes = 64 * 1024 * 1024 + 1
    script.reply = f"HTTP/1.1 200 OK\r\ncontent-length: {size_bytes}\r\n\r\n".encode() + bytes(size_bytes)

    failure = failed(await make_call(script.url))

    assert (failure.kind, failure.billing) == (FailureKind.BROKEN, Billing.UNKNOWN)
    assert "larger" in failure.message


async def test_compressed_answers_are_not_asked_for_and_not_unpacked(script: Script) -> None:
    script.answer(200, base64.b64decode("H4sIAAAAAAAAA6uuBQBDv6ajAgAAAA=="), "content-encoding: gzip")

    failure = failed(await make_call(script.url))

    assert failure.kind is FailureKind.BROKEN
    assert b"accept-encoding: identity" in script.requests[0].lower()


@pytest.mark.parametrize("known", [httpx.ReadTimeout, httpx.ConnectError, httpx.ProxyError, httpx.ReadError])
def test_an_exception_without_a_cause_is_judged_by_its_own_class(known: type[httpx.TransportError]) -> None:
    failure = classify_exception(known("x"))

    expected = {
        httpx.ReadTimeout: FailureKind.TIMED_OUT,
        httpx.ConnectError: FailureKind.UNREACHABLE,
        httpx.ProxyError: FailureKind.UNREACHABLE,
        httpx.ReadError: FailureKind.BROKEN,
    }
    assert failure.kind is expected[known]


def test_a_disconnect_reported_as_a_connect_timeout_is_recognised() -> None:
    """httpx-aiohttp 0.2 maps every ClientConnectionError to ConnectTimeout."""
    error = httpx.ConnectTimeout("x")
    error.__cause__ = aiohttp.ServerDisconnectedError()

    failure = classify_exception(error)

    assert (failure.kind, failure.billing) == (FailureKind.BROKEN, Billing.UNKNOWN)


async def test_cancelling_a_call_leaves_nothing_behind(provider: SandboxHandle) -> None:
    await provider.behave(latency_s=5)
    async with open_backend(f"{provider.url}/v1", transport={"connections": 1}) as backend:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await backend.make(CALL, Watched())
        await provider.behave(paint="flat")

        assert not hasattr(await backend.make(CALL, Watched()), "billing"), "the one connection is free again"
