"""Order images: their answers, their costs, and the calls to the provider."""

import base64
import hashlib
import io
import re
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from PIL import Image

from service.sandbox.painting.watermark import read_watermark
from tests.http.conftest import SandboxJournal
from tests.processes import Gateway

ROUTE = "/v1/images/generations"


def order(client: httpx.Client, fields: Mapping[str, Any], **headers: str) -> httpx.Response:
    answer = client.post(
        ROUTE, json=fields, headers={name.replace("_", "-"): headers[name] for name in headers}
    )
    assert answer.status_code == 200, answer.text
    return answer


def images(answer: httpx.Response) -> list[bytes]:
    """Return the files of an answer, from its links or its base64."""
    files = []
    for entry in answer.json()["data"]:
        if "url" in entry:
            downloaded = httpx.get(entry["url"], trust_env=False)
            assert downloaded.status_code == 200
            files.append(downloaded.content)
        else:
            files.append(base64.b64decode(entry["b64_json"], validate=True))
    return files


def size_of(file: bytes) -> str:
    with Image.open(io.BytesIO(file)) as opened:
        opened.load()
        return f"{opened.width}x{opened.height}"


def test_a_dall_e_3_order_has_the_answer_and_headers_of_its_contract(
    client: httpx.Client, gateway: Gateway, prompt: str
) -> None:
    answer = order(client, {"model": "dall-e-3", "prompt": prompt}, x_request_id="order-1")

    body = answer.json()
    assert set(body) == {"created", "data"}
    assert set(body["data"][0]) == {"url", "revised_prompt"}
    assert body["data"][0]["revised_prompt"] == prompt
    assert re.fullmatch(
        re.escape(gateway.url) + r"/v1/images/files/[0-9a-f]{64}\.png\?t=open&exp=0&sig=[\w-]{43}",
        body["data"][0]["url"],
    )
    headers = answer.headers
    assert headers["x-request-id"] == "order-1"
    assert headers["x-cache"] == "miss"
    assert "age" not in headers
    assert headers["x-model-sent"] == "gpt-image-2.6-flare"
    assert headers["x-backend"] == "openai"
    assert headers["sunset"] == "Tue, 12 May 2026 00:00:00 GMT"
    assert headers["deprecation"] == "@1778544000"
    assert int(headers["x-cost-microusd"]) > 0
    assert re.fullmatch(
        r"order;dur=[\d.]+(, (queue|begin|upstream|store);dur=[\d.]+)+", headers["server-timing"]
    )
    assert not [name for name in headers if name.startswith("x-ratelimit")], "no limit, no header"


def test_a_gpt_image_order_has_the_answer_of_its_contract(client: httpx.Client, prompt: str) -> None:
    answer = order(client, {"model": "gpt-image-2", "prompt": prompt, "quality": "low"})

    body = answer.json()
    assert set(body) == {"created", "data", "background", "output_format", "quality", "size", "usage"}
    assert set(body["data"][0]) == {"b64_json"}
    assert (body["quality"], body["size"], body["output_format"]) == ("low", "1024x1024", "png")
    usage = body["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert answer.headers["x-model-sent"] == "gpt-image-2"
    assert "sunset" not in answer.headers
    assert "deprecation" not in answer.headers


def test_a_current_model_announces_its_shutdown(client: httpx.Client, prompt: str) -> None:
    answer = order(client, {"model": "gpt-image-1.5", "prompt": prompt})

    assert answer.headers["sunset"] == "Tue, 01 Dec 2026 00:00:00 GMT"


def test_the_cost_is_the_price_of_the_tokens(client: httpx.Client, prompt: str) -> None:
    answer = order(client, {"model": "gpt-image-2", "prompt": prompt, "quality": "low", "n": 2})

    usage = answer.json()["usage"]
    exact = usage["input_tokens"] * 5 + usage["output_tokens"] * 30
    # Each image's share is rounded up to a whole micro-dollar.
    assert 0 <= int(answer.headers["x-cost-microusd"]) - exact <= 2


def test_an_equal_order_is_a_free_hit_with_an_age(
    client: httpx.Client, journal: SandboxJournal, prompt: str
) -> None:
    fields = {"model": "dall-e-3", "prompt": prompt, "response_format": "b64_json"}
    first = order(client, fields)

    second = order(client, fields)

    assert images(second) == images(first)
    assert second.headers["x-cache"] == "hit"
    assert second.headers["x-cost-microusd"] == "0"
    assert 0 <= int(second.headers["age"]) < 60
    assert second.json()["created"] == first.json()["created"]
    assert len(journal.of(prompt)) == 1


def test_a_partial_hit_counts_hits_and_misses(client: httpx.Client, prompt: str) -> None:
    first = order(client, {"model": "dall-e-3", "prompt": prompt, "n": 1})

    second = order(client, {"model": "dall-e-3", "prompt": prompt, "n": 3})

    assert second.headers["x-cache"] == "partial; hits=1; coalesced=0; misses=2"
    assert int(second.headers["x-cost-microusd"]) == 2 * int(first.headers["x-cost-microusd"])
    assert len(set(images(second))) == 3


def test_a_null_counts_as_missing(client: httpx.Client, journal: SandboxJournal, prompt: str) -> None:
    names = (
        *("n", "size", "quality", "style", "response_format", "background", "output_format"),
        *(
            "output_compression",
            "moderation",
            "user",
            "safety_identifier",
            "stream",
            "partial_images",
            "unheard_of",
        ),
    )
    order(client, {"model": "dall-e-3", "prompt": prompt, **dict.fromkeys(names)})

    answer = order(client, {"model": "dall-e-3", "prompt": prompt})

    assert answer.headers["x-cache"] == "hit"
    (call,) = journal.of(prompt)
    assert None not in call["parameters"].values()


@pytest.mark.parametrize("model", [None, "dall-e-2"])
def test_the_default_model_is_dall_e_2(client: httpx.Client, prompt: str, model: str | None) -> None:
    answer = order(client, {"prompt": prompt, "model": model, "size": "256x256"})

    assert set(answer.json()["data"][0]) == {"url"}
    assert answer.headers["sunset"] == "Tue, 12 May 2026 00:00:00 GMT"


@pytest.mark.parametrize(
    "fields", [{"background": "opaque"}, {"moderation": "low"}, {"output_format": "webp"}]
)
def test_a_newer_parameter_selects_a_newer_default_model(
    client: httpx.Client, prompt: str, fields: dict[str, str]
) -> None:
    answer = order(client, {"prompt": prompt, **fields})

    assert "b64_json" in answer.json()["data"][0]
    assert "sunset" not in answer.headers


@pytest.mark.parametrize("response_format", ["url", "b64_json"])
@pytest.mark.parametrize("model", ["dall-e-2", "dall-e-3", "gpt-image-2", "gpt-image-1.5", "gpt-image-1"])
def test_every_model_delivers_urls_and_base64(
    client: httpx.Client, journal: SandboxJournal, prompt: str, model: str, response_format: str
) -> None:
    """The provider refuses `response_format` for its living models; here old clients may go on sending it."""
    answer = order(client, {"model": model, "prompt": prompt, "response_format": response_format})

    assert response_format in answer.json()["data"][0]
    (file,) = images(answer)
    (call,) = journal.of(prompt)
    assert read_watermark(file).order_hash == call["images"][0]["order_hash"]
    assert "response_format" not in call["parameters"]


@pytest.mark.parametrize(
    ("model", "size"),
    [
        ("dall-e-3", "1024x1024"),
        ("dall-e-3", "1792x1024"),
        ("dall-e-3", "1024x1792"),
        ("dall-e-3", "1536x1024"),
        ("dall-e-2", "256x256"),
        ("dall-e-2", "512x512"),
        ("dall-e-2", "1024x1024"),
        ("gpt-image-2", "1536x864"),
        ("gpt-image-1", "1024x1536"),
    ],
)
def test_an_image_has_the_ordered_size_and_content(
    client: httpx.Client, journal: SandboxJournal, prompt: str, model: str, size: str
) -> None:
    answer = order(client, {"model": model, "prompt": prompt, "size": size, "n": 2})

    files = images(answer)
    assert [size_of(file) for file in files] == [size, size]
    made = {image["serial"]: image["order_hash"] for call in journal.of(prompt) for image in call["images"]}
    marks = [read_watermark(file) for file in files]
    assert {mark.serial: mark.order_hash for mark in marks} == made
    assert len(made) == 2


def test_only_small_images_are_resampled(client: httpx.Client, journal: SandboxJournal, prompt: str) -> None:
    for size, n in (("1024x1024", 1), ("512x512", 1)):
        order(client, {"model": "dall-e-2", "prompt": prompt, "size": size, "n": n})

    sizes = [call["parameters"]["size"] for call in journal.of(prompt)]
    assert sizes == ["1024x1024", "1024x1024"]


def test_a_dall_e_3_order_is_one_call_per_image_to_a_current_model(
    client: httpx.Client, journal: SandboxJournal, prompt: str
) -> None:
    fields = {"size": "1792x1024", "quality": "hd", "style": "natural", "user": "ann"}
    answer = order(client, {"model": "dall-e-3", "prompt": prompt, "n": 3, **fields})

    assert len(answer.json()["data"]) == 3
    calls = journal.of(prompt)
    assert len(calls) == 3
    for call in calls:
        assert set(call["parameters"]) == {"model", "prompt", "n", "size", "quality", "safety_identifier"}
        assert (call["model"], call["parameters"]["n"]) == ("gpt-image-2.6-flare", 1)
        assert (call["parameters"]["size"], call["parameters"]["quality"]) == ("1792x1024", "high")
        assert "natural style" in call["prompt"]


@pytest.mark.parametrize("name", ["safety_identifier", "user"])
def test_the_caller_sees_its_user_and_the_provider_a_keyed_hash(
    client: httpx.Client, journal: SandboxJournal, prompt: str, name: str
) -> None:
    person = "ann@example.com"

    answer = order(client, {"model": "gpt-image-2", "prompt": prompt, name: person})

    assert answer.json()["safety_identifier"] == person
    (call,) = journal.of(prompt)
    sent = call["safety_identifier"]
    assert sent
    plain = {hashlib.new(kind, person.encode()).hexdigest() for kind in ("md5", "sha1", "sha256")}
    assert not any(sent in one or one in sent for one in plain), "a plain hash can be guessed"
    assert person not in str(call)
    assert "user" not in call["parameters"]


def test_each_user_has_one_hash_of_its_own(
    client: httpx.Client, journal: SandboxJournal, prompt: str
) -> None:
    for suffix, person in (("a", "ann"), ("b", "ann"), ("c", "bob"), ("d", None)):
        order(client, {"model": "gpt-image-2", "prompt": prompt + suffix, "user": person})

    hashes = [journal.of(prompt + suffix)[0]["safety_identifier"] for suffix in "abcd"]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
    assert all(hashes), "also who gives no name is told apart from nobody"


def test_safety_identifier_takes_precedence_over_user(client: httpx.Client, prompt: str) -> None:
    answer = order(
        client, {"model": "gpt-image-2", "prompt": prompt, "user": "old", "safety_identifier": "new"}
    )

    assert answer.json()["safety_identifier"] == "new"


def test_no_cache_makes_a_new_image_that_later_orders_reuse(
    client: httpx.Client, journal: SandboxJournal, prompt: str
) -> None:
    fields = {"model": "dall-e-3", "prompt": prompt}
    first = images(order(client, fields))

    fresh = order(client, fields, cache_control="no-cache")

    assert fresh.headers["x-cache"] == "miss"
    assert images(fresh) != first
    assert order(client, {**fields, "n": 2}).headers["x-cache"] == "hit"
    assert len(journal.of(prompt)) == 2


def test_no_store_neither_reads_nor_fills_the_cache(
    client: httpx.Client, journal: SandboxJournal, prompt: str
) -> None:
    fields = {"model": "dall-e-3", "prompt": prompt}

    answers = [order(client, fields, cache_control="no-store") for _ in range(2)]

    assert [answer.headers["x-cache"] for answer in answers] == ["bypass", "bypass"]
    assert order(client, fields).headers["x-cache"] == "miss"
    assert len(journal.of(prompt)) == 3


def test_only_if_cached_never_spends(client: httpx.Client, journal: SandboxJournal, prompt: str) -> None:
    fields = {"model": "dall-e-3", "prompt": prompt}

    refused = client.post(ROUTE, json=fields, headers={"cache-control": "only-if-cached"})

    assert (refused.status_code, refused.json()["error"]["code"]) == (504, "not_cached")
    assert refused.headers["x-should-retry"] == "false"
    assert journal.of(prompt) == []
    order(client, fields)
    assert order(client, fields, cache_control="only-if-cached").headers["x-cache"] == "hit"
    assert len(journal.of(prompt)) == 1


@pytest.mark.parametrize(
    ("directive", "state"),
    [
        ("max-age=0", "miss"),
        ("MAX-AGE=0", "miss"),
        ('max-age="0"', "miss"),
        ("max-age=3600", "hit"),
        ("max-age=-1", "hit"),
        ("max-age=nonsense", "hit"),
        ("max-age=99999999999999999999", "hit"),
        ("no-transform", "hit"),
        ("public, , =,no-cache", "miss"),
        ("max-stale", "hit"),
    ],
)
def test_cache_directives_are_parsed_as_clients_write_them(
    client: httpx.Client, prompt: str, directive: str, state: str
) -> None:
    fields = {"model": "dall-e-3", "prompt": prompt}
    order(client, fields)

    assert order(client, fields, cache_control=directive).headers["x-cache"] == state


def test_users_of_one_team_share_cached_images(client: httpx.Client, prompt: str) -> None:
    fields = {"model": "dall-e-3", "prompt": prompt}
    order(client, fields, authorization="Bearer ann")

    assert order(client, fields, authorization="Bearer bob").headers["x-cache"] == "hit"


def test_an_explicit_default_makes_an_equal_order(client: httpx.Client, prompt: str) -> None:
    order(client, {"model": "dall-e-3", "prompt": prompt})
    spelt_out = {"n": 1, "size": "1024x1024", "quality": "standard", "style": "vivid", "user": "ann"}

    assert order(client, {"model": "dall-e-3", "prompt": prompt, **spelt_out}).headers["x-cache"] == "hit"


@pytest.mark.parametrize("other", [{"quality": "hd"}, {"style": "natural"}, {"size": "1792x1024"}])
def test_every_parameter_of_the_image_makes_another_order(
    client: httpx.Client, prompt: str, other: dict[str, str]
) -> None:
    order(client, {"model": "dall-e-3", "prompt": prompt})

    assert order(client, {"model": "dall-e-3", "prompt": prompt, **other}).headers["x-cache"] == "miss"


def test_a_refused_prompt_is_the_providers_400_with_its_details(client: httpx.Client, prompt: str) -> None:
    answer = client.post(ROUTE, json={"model": "gpt-image-2", "prompt": f"{prompt} forbidden-word"})

    error = answer.json()["error"]
    assert answer.status_code == 400
    assert (error["code"], error["type"]) == ("moderation_blocked", "image_generation_user_error")
    assert error["moderation_details"]["moderation_stage"] == "input"
    assert answer.headers["x-model-sent"] == "gpt-image-2"
    assert "x-cost-microusd" not in answer.headers


@pytest.mark.parametrize("timeout_s", ["0.000001", "1e-9"])
def test_an_exceeded_deadline_is_reported_and_costs_nothing(
    client: httpx.Client, journal: SandboxJournal, prompt: str, timeout_s: str
) -> None:
    answer = client.post(ROUTE, json={"prompt": prompt}, headers={"x-request-timeout-s": timeout_s})

    httpx.get(f"{journal.url}/sandbox/journal", params={"settle_s": 2}, trust_env=False)
    assert journal.of(prompt) == []
    assert answer.json()["error"]["code"] in {"overloaded", "deadline_exceeded"}, (
        "nothing was sent, nothing is unknown"
    )
    assert answer.headers.get("x-should-retry") != "false"
    metrics = client.get("/metrics").text
    assert re.search(r'imagegw_orders_total{[^}]*code="own_deadline"[^}]*} [1-9]', metrics)
