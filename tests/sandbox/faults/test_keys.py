"""The behaviour towards one key: throttled, revoked, blocked, limited, or without a model."""

import hashlib
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import pytest

from tests.sandbox.image_files import read_files
from tests.sandbox.process import SandboxHandle
from tests.sandbox.rests import calls_while_resting


async def ask(sandbox: SandboxHandle, key: str, **fields: object) -> httpx.Response:
    """Order from the sandbox with *key*."""
    body = {"model": "gpt-image-2", "prompt": "a cat", **fields}
    headers = {"authorization": f"Bearer {key}"}
    return await sandbox.client.post("/v1/images/generations", json=body, headers=headers)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_one_key_is_throttled_for_a_number_of_requests(sandbox: SandboxHandle) -> None:
    await sandbox.behave_towards("sk-a", throttle={"requests": 2, "retry_after_s": 1.25})

    answers = [await ask(sandbox, key) for key in ("sk-a", "sk-b", "sk-a", "sk-a")]

    assert [answer.status_code for answer in answers] == [429, 200, 429, 200]
    assert (answers[0].headers["retry-after"], answers[0].headers["retry-after-ms"]) == ("2", "1250")
    assert answers[0].json()["error"]["code"] == "rate_limit_exceeded"


async def test_the_journal_tells_how_long_a_key_was_asked_to_rest(sandbox: SandboxHandle) -> None:
    """A test proves by these instants that a key got no call while it rested."""
    await sandbox.behave_towards("sk-a", throttle={"requests": 1, "retry_after_s": 100})

    for key in ("sk-a", "sk-b", "sk-a"):
        await ask(sandbox, key, prompt=f"for {key}")

    refused, other, again = await sandbox.journal()
    assert (refused["status"], refused["refused_as"], refused["prompt"]) == (429, "throttle", "for sk-a")
    assert refused["key_sha256"] == again["key_sha256"] == hashlib.sha256(b"sk-a").hexdigest()[:16]
    assert (refused["billed"], other["billed"], again["billed"]) == (False, True, True)
    assert refused["retry_at_monotonic_s"] >= refused["started_monotonic_s"] + 100
    assert calls_while_resting([refused, other, again]) == [(refused, again)]
    assert calls_while_resting([refused, other]) == []
    assert (other["refused_as"], other["retry_at_monotonic_s"]) == (None, None)


async def test_a_throttle_ends_with_its_time(sandbox: SandboxHandle) -> None:
    begun_s = time.monotonic()
    await sandbox.behave_towards("sk-a", throttle={"for_s": 0.2}, paint="flat")
    statuses = [(await ask(sandbox, "sk-a")).status_code]
    while statuses[-1] == 429 and len(statuses) < 1000:
        statuses.append((await ask(sandbox, "sk-a")).status_code)

    *refused, admitted = await sandbox.journal()
    assert (statuses[0], statuses[-1]) == (429, 200)
    assert admitted["finished_monotonic_s"] >= begun_s + 0.2
    for entry in refused:
        assert begun_s + 0.2 <= entry["retry_at_monotonic_s"] <= entry["finished_monotonic_s"] + 0.2


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("seconds", {"retry-after": "360"}),
        ("ms", {"retry-after-ms": "360000"}),
        ("both", {"retry-after": "360", "retry-after-ms": "360000"}),
        ("reset", {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}),
        ("reset_seconds", {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "360"}),
        ("text", {}),
        ("none", {}),
    ],
)
async def test_the_wait_is_said_in_many_ways(
    sandbox: SandboxHandle, style: str, expected: dict[str, str]
) -> None:
    await sandbox.behave(throttle={"requests": 1, "retry_after_s": 360, "retry_style": style})

    answer = await sandbox.generate()

    told = {name: value for name, value in answer.headers.items() if "retry" in name or "ratelimit" in name}
    assert told == expected
    assert ("6m0s" in answer.json()["error"]["message"]) is (style != "none")


async def test_a_failure_may_say_the_wait_in_its_text_alone(sandbox: SandboxHandle) -> None:
    await sandbox.behave(failures=[{"status": 503, "retry_after_s": 61.5, "retry_style": "text"}])

    answer = await sandbox.generate()

    assert answer.json()["error"]["message"].endswith("Please try again in 1m1.5s.")
    assert "retry-after" not in answer.headers


async def test_the_wait_may_be_a_date(sandbox: SandboxHandle) -> None:
    await sandbox.behave(failures=[{"status": 429, "retry_after_s": 100, "retry_style": "date"}])

    answer = await sandbox.generate()

    (entry,) = await sandbox.journal()
    told = parsedate_to_datetime(answer.headers["retry-after"])
    assert (told - datetime.fromisoformat(entry["started_at"])).total_seconds() >= 100
    assert told.tzinfo is UTC
    assert entry["retry_at_monotonic_s"] >= entry["started_monotonic_s"] + 100


@pytest.mark.parametrize(
    ("account", "status", "kind", "code"),
    [
        ("revoked", 401, "invalid_request_error", "invalid_api_key"),
        ("deactivated", 401, "invalid_request_error", "account_deactivated"),
        ("no_quota", 429, "insufficient_quota", "insufficient_quota"),
        ("billing_limit", 400, "billing_limit_user_error", "billing_hard_limit_reached"),
    ],
)
async def test_an_account_may_be_closed(
    sandbox: SandboxHandle, account: str, status: int, kind: str, code: str
) -> None:
    await sandbox.behave_towards("sk-a", account=account)

    refused, other = await ask(sandbox, "sk-a"), await ask(sandbox, "sk-b")

    assert (*code_of(refused), refused.json()["error"]["type"]) == (status, code, kind)
    assert "retry-after" not in refused.headers
    assert other.status_code == 200
    entry, _ = await sandbox.journal()
    assert (entry["refused_as"], entry["error_code"], entry["billed"]) == ("account", code, False)


async def test_a_revoked_key_reads_nothing_either(sandbox: SandboxHandle) -> None:
    await sandbox.behave(account="revoked")

    answers = [
        await sandbox.client.get("/v1/models"),
        await sandbox.client.get("/v1/models/gpt-image-2"),
        await sandbox.client.post("/v1/moderations", json={"input": "a cat"}),
    ]

    assert [code_of(answer) for answer in answers] == [(401, "invalid_api_key")] * 3


async def test_a_key_may_lack_a_model(sandbox: SandboxHandle) -> None:
    await sandbox.behave_towards("sk-a", missing_models=["gpt-image-2"])

    lacking, other = await ask(sandbox, "sk-a"), await ask(sandbox, "sk-a", model="gpt-image-2.6-flare")

    assert code_of(lacking) == (404, "model_not_found")
    assert other.status_code == 200
    assert [entry["refused_as"] for entry in await sandbox.journal()] == ["missing_model", None]


async def test_a_key_may_have_a_limit_of_its_own(sandbox: SandboxHandle) -> None:
    await sandbox.behave(rate_limit_images_per_min=5, paint="flat")
    await sandbox.behave_towards("sk-a", rate_limit_images_per_min=1)

    answers = [await ask(sandbox, key, n=2) for key in ("sk-a", "sk-b")]

    assert [answer.status_code for answer in answers] == [429, 200]
    refused, _ = await sandbox.journal()
    assert refused["refused_as"] == "rate_limit"
    assert refused["retry_at_monotonic_s"] > refused["started_monotonic_s"]


async def test_failures_of_a_key_leave_those_of_all_alone(sandbox: SandboxHandle) -> None:
    await sandbox.behave(failures=[{"status": 503}])
    await sandbox.behave_towards("sk-a", failures=[{"status": 500}])

    answers = [await ask(sandbox, key) for key in ("sk-a", "sk-a", "sk-b", "sk-b")]

    assert [answer.status_code for answer in answers] == [500, 200, 503, 200]


async def test_a_key_is_named_by_its_value_or_its_hash(sandbox: SandboxHandle) -> None:
    digest = hashlib.sha256(b"sk-a").hexdigest()
    codes = []
    for name in ("sk-a", digest, digest[:16]):
        await sandbox.behave_towards(name, account="revoked")
        codes.append((await ask(sandbox, "sk-a")).status_code)
        await sandbox.client.delete("/sandbox/behaviour", params={"key": name})
        codes.append((await ask(sandbox, "sk-a")).status_code)

    assert codes == [401, 200] * 3


async def test_shows_the_behaviour_towards_a_key(sandbox: SandboxHandle) -> None:
    await sandbox.behave_towards("sk-a", images_short=1)
    await sandbox.behave(paint="flat")

    of_key = (await sandbox.client.get("/sandbox/behaviour", params={"key": "sk-a"})).json()
    of_all = (await sandbox.client.get("/sandbox/behaviour")).json()

    assert (of_key["images_short"], of_key["paint"]) == (1, "flat")
    assert (of_all["images_short"], of_all["paint"]) == (None, "flat")
    assert read_files(await ask(sandbox, "sk-a")) == []


async def test_a_reset_is_of_all_keys(sandbox: SandboxHandle) -> None:
    await sandbox.behave_towards("sk-a", account="revoked")

    await sandbox.client.delete("/sandbox/behaviour")

    assert (await ask(sandbox, "sk-a")).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"throttle": {}},
        {"throttle": {"for_s": 1, "requests": 1}},
        {"throttle": {"for_s": 0}},
        {"throttle": {"requests": 1, "retry_style": "soon"}},
        {"account": "closed"},
    ],
)
async def test_refuses_what_it_does_not_know(sandbox: SandboxHandle, body: object) -> None:
    answer = await sandbox.client.put("/sandbox/behaviour", params={"key": "sk-a"}, json=body)

    assert answer.status_code == 400
    assert (await ask(sandbox, "sk-a")).status_code == 200
