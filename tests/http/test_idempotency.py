"""Use `Idempotency-Key`: repeated answers, resumed orders, refusals."""

import base64
import hashlib
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.http.house import EDITS, GENERATIONS, House, digest_of, open_house, png, until
from tests.processes import run_gateway, run_valkey

HEADERS = {"authorization": "Bearer somebody"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("idempotency")) as house:
        house.client.headers.update(HEADERS)
        yield house


@pytest.fixture(autouse=True)
def behave(house: House) -> None:
    house.behave(paint="flat")


def order(house: House, key: str, prompt: str, **fields: object) -> httpx.Response:
    headers = {"idempotency-key": key, **fields.pop("headers", {})}  # type: ignore[dict-item]
    return house.client.post(
        GENERATIONS, json={"model": "dall-e-3", "prompt": prompt, **fields}, headers=headers
    )


def digests(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [
        hashlib.sha256(base64.b64decode(entry["b64_json"])).hexdigest()
        if "b64_json" in entry
        else entry["url"].partition("/files/")[2][:64]
        for entry in answer.json()["data"]
    ]


@pytest.mark.parametrize("response_format", ["url", "b64_json"])
def test_an_answer_is_repeated_regardless_of_the_cache(
    house: House, prompt: str, response_format: str
) -> None:
    fields = {"n": 2, "response_format": response_format, "headers": {"cache-control": "no-cache"}}
    first, second = (order(house, prompt, prompt, **fields) for _ in range(2))

    assert digests(first) == digests(second)
    assert first.json()["created"] == second.json()["created"]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["x-cost-microusd"] == "0"
    assert len(house.journal(prompt=prompt)) == 2


def test_without_the_key_a_fresh_order_is_made_again(house: House, prompt: str) -> None:
    headers = {"cache-control": "no-cache"}
    first, second = (order(house, f"{prompt} {i}", prompt, headers=headers) for i in range(2))

    assert digests(first) != digests(second)


def test_another_order_with_the_same_key_is_refused_and_costs_nothing(house: House, prompt: str) -> None:
    order(house, prompt, prompt)

    refused = order(house, prompt, prompt, n=2)

    assert refused.status_code == 422
    assert refused.json()["error"]["code"] == "idempotency_key_reuse"
    assert len(house.journal(prompt=prompt)) == 1


def test_quotes_around_a_key_do_not_count(house: House, prompt: str) -> None:
    order(house, prompt, prompt)

    assert "idempotent-replayed" in order(house, f'"{prompt}"', prompt).headers


def test_a_second_order_waits_for_the_first_and_repeats_it(house: House, prompt: str) -> None:
    house.behave(paint="flat", latency_s=1)
    with ThreadPoolExecutor(4) as pool:
        headers = {"cache-control": "no-cache"}
        answers = list(pool.map(lambda _: order(house, prompt, prompt, n=2, headers=headers), range(4)))

    assert len({tuple(digests(answer)) for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 3
    assert len(house.journal(prompt=prompt)) == 2


def test_an_order_with_too_little_time_gets_a_retry_delay(house: House, prompt: str) -> None:
    house.behave(paint="flat", latency_s=3)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(order, house, prompt, prompt)
        while not house.sandbox.get("/sandbox/journal", params={"settle_s": 0}).text.count(prompt):
            pass
        second = order(house, prompt, prompt, headers={"x-request-timeout-s": "0.3"})

    assert second.status_code == 409
    assert second.json()["error"]["code"] == "order_under_way"
    assert 1 <= int(second.headers["retry-after"]) <= 60
    assert first.result().status_code == 200


def test_a_failed_order_resumes_and_pays_only_for_missing_images(house: House, prompt: str) -> None:
    house.behave(paint="flat", failures=[{"status": 400, "code": "invalid_value", "count": 1}])
    headers = {"cache-control": "no-store"}
    failed = order(house, prompt, prompt, n=3, headers=headers)

    resumed = order(house, prompt, prompt, n=3, headers=headers)

    assert failed.status_code == 502
    assert failed.json()["error"]["images_kept"] == 2
    assert len(set(digests(resumed))) == 3
    assert "idempotent-replayed" not in resumed.headers
    assert sum(len(entry["images"]) for entry in house.journal(prompt=prompt)) == 3
    assert digests(order(house, prompt, prompt, n=3, headers=headers)) == digests(resumed)


def test_a_refusal_is_final(house: House, prompt: str) -> None:
    first, second = (order(house, prompt, f"{prompt} forbidden-word") for _ in range(2))

    assert (first.status_code, first.json()) == (second.status_code, second.json())
    assert first.status_code == 400
    assert second.headers["idempotent-replayed"] == "true"
    assert len(house.journal(prompt=prompt)) == 1


def test_an_invalid_order_does_not_use_up_the_key(house: House, prompt: str) -> None:
    assert order(house, prompt, prompt, n=11).status_code == 400

    assert order(house, prompt, prompt, n=1).status_code == 200


def test_a_stream_is_repeated_as_completed_events(house: House, prompt: str) -> None:
    fields = {"model": "gpt-image-2", "stream": True, "partial_images": 1, "n": 1}
    first, second = (order(house, prompt, prompt, **fields) for _ in range(2))

    assert "image_generation.partial_image" in first.text
    assert "image_generation.partial_image" not in second.text
    assert second.text.count("event: image_generation.completed") == 1
    assert second.headers["idempotent-replayed"] == "true"
    assert len(house.journal(prompt=prompt)) == 1


def test_edits_have_keys_too(house: House, prompt: str) -> None:
    def edit(seed: int) -> httpx.Response:
        files = [("image", ("a.png", png(seed=seed), "image/png"))]
        data = {"model": "gpt-image-2", "prompt": prompt}
        return house.client.post(EDITS, files=files, data=data, headers={"idempotency-key": prompt})

    first, second, other = edit(1), edit(1), edit(2)

    assert digests(first) == digests(second)
    assert other.status_code == 422


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "é"])
def test_an_invalid_key_is_refused(house: House, prompt: str, key: str) -> None:
    answer = house.client.post(
        GENERATIONS,
        json={"prompt": prompt, "model": "dall-e-3"},
        headers=[(b"idempotency-key", key.encode())],
    )

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_idempotency_key"
    assert house.journal(prompt=prompt) == []


def test_an_anonymous_caller_cannot_use_keys(house: House, prompt: str) -> None:
    answer = httpx.post(
        f"{house.gateway.url}{GENERATIONS}",
        json={"prompt": prompt, "model": "dall-e-3", "user": "me"},
        headers={"idempotency-key": prompt},
        trust_env=False,
    )

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "idempotency_needs_key"


def test_callers_do_not_share_keys(house: House, prompt: str) -> None:
    order(house, prompt, prompt)

    other = order(house, prompt, f"{prompt} of another", headers={"authorization": "Bearer another"})

    assert other.status_code == 200
    assert "idempotent-replayed" not in other.headers


def test_a_purged_image_cannot_be_repeated(house: House, prompt: str) -> None:
    digest = digests(order(house, prompt, prompt, response_format="b64_json"))[0]
    [path] = house.data_dir.glob(f"files/images/*/{digest}.png")
    path.unlink()

    gone = order(house, prompt, prompt, response_format="b64_json")

    assert gone.status_code == 410
    assert gone.json()["error"]["code"] == "image_gone"


@pytest.mark.slow
def test_a_key_survives_a_restart_and_the_death_of_its_maker(
    house: House, prompt: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Killed with two of four made: the same key gets four different images, and pays for the missing ones."""
    root = tmp_path_factory.mktemp("restart")
    with run_valkey() as valkey:
        settings = {
            "redis_url": valkey.url,
            "openai_base_url": f"{str(house.sandbox.base_url).rstrip(chr(47))}/v1",
            "openai_api_key": "x",
            "default_policy__requests_per_min": 0,
            "default_policy__images_per_min": 0,
            "secrets": "a-secret-that-survives",
            "max_calls_in_flight": 2,
        }
        headers = {**HEADERS, "idempotency-key": prompt, "cache-control": "no-cache"}
        body = {"model": "dall-e-3", "prompt": prompt, "n": 4, "response_format": "b64_json"}
        house.behave(paint="flat", latency_s=1)
        with run_gateway(root, **settings) as gateway, ThreadPoolExecutor(1) as pool:
            pool.submit(_post_into_the_void, gateway.url, body, headers)
            while house.sandbox.get("/sandbox/journal", params={"settle_s": 0}).text.count(prompt) < 3:
                pass
            gateway.process.send_signal(signal.SIGKILL)
            gateway.process.wait()
        with (
            run_gateway(root, **settings) as gateway,
            httpx.Client(trust_env=False, timeout=90) as client,
        ):
            again = client.post(f"{gateway.url}{GENERATIONS}", json=body, headers=headers)
            repeated = client.post(f"{gateway.url}{GENERATIONS}", json=body, headers=headers)

    assert len(set(digests(again))) == 4
    assert digests(repeated) == digests(again)
    # Two were made before, and at most two were under way.
    made = [image for entry in house.journal(prompt=prompt) for image in entry["images"]]
    assert 4 <= len(made) <= 6


def _post_into_the_void(url: str, body: dict[str, object], headers: dict[str, str]) -> None:
    try:
        httpx.post(f"{url}{GENERATIONS}", json=body, headers=headers, trust_env=False, timeout=90)
    except httpx.TransportError:
        return
    raise AssertionError("it was to be killed")


def test_digests_are_those_of_the_bytes(house: House, prompt: str) -> None:
    answer = order(house, prompt, prompt, response_format="url")
    file = httpx.get(answer.json()["data"][0]["url"], trust_env=False).content

    assert digests(answer) == [digest_of(file)]


@pytest.mark.parametrize("modes", [("no-store", ""), ("", "no-store"), ("no-cache", "no-store")])
def test_a_resume_ignores_the_cache_mode(house: House, prompt: str, modes: tuple[str, str]) -> None:
    house.behave(paint="flat", failures=[{"status": 400, "code": "invalid_value", "count": 1}])
    first, second = (order(house, prompt, prompt, n=2, headers={"cache-control": mode}) for mode in modes)

    assert (first.status_code, second.status_code) == (502, 200)
    assert sum(len(entry["images"]) for entry in house.journal(prompt=prompt)) == 2


@pytest.mark.parametrize("response_format", ["url", "b64_json"])
def test_a_deleted_image_is_not_resumed(house: House, prompt: str, response_format: str) -> None:
    fields = {"n": 2, "response_format": response_format, "headers": {"prefer": "return=partial"}}
    house.behave(paint="flat", failures=[{"status": 400, "code": "invalid_value", "count": 1}])
    [digest] = digests(order(house, prompt, prompt, **fields))
    assert house.client.delete(f"/v1/images/files/{digest}.png").status_code == 204

    resumed = order(house, prompt, prompt, **fields)

    assert digest not in digests(resumed)
    assert len(set(digests(resumed))) == 2


def test_a_client_that_left_while_waiting_orders_nothing(house: House, prompt: str) -> None:
    house.behave(
        paint="flat",
        latency_s=1.5,
        failures=[{"status": 500, "body": "html", "after_painting": True, "count": 9}],
    )
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(order, house, prompt, prompt)
        while not house.sandbox.get("/sandbox/journal", params={"settle_s": 0}).text.count(prompt):
            pass
        for _ in range(4):
            with pytest.raises(httpx.ReadTimeout):
                house.client.post(
                    GENERATIONS,
                    json={"model": "dall-e-3", "prompt": prompt},
                    headers={"idempotency-key": prompt},
                    timeout=0.2,
                )
        assert first.result().status_code == 502
    until(lambda: 'imagegw_in_flight{kind="orders"} 0.0' in house.client.get("/metrics").text)

    assert len(house.journal(prompt=prompt)) == 1


def test_a_repeated_refusal_refuses_no_other_order(house: House, prompt: str) -> None:
    word = f"{prompt} forbidden"
    house.behave(paint="flat", refuse_words=[word])
    order(house, prompt, word)
    house.behave(paint="flat", refuse_words=[])

    assert order(house, prompt, word).headers["idempotent-replayed"] == "true"
