"""Streams as clients read them: every event and field, pings, failures, and readers that leave."""

import base64
import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
from httpx_sse import EventSource

from tests.http.house import (
    BOUNDARY,
    EDITS,
    GENERATIONS,
    House,
    check_error,
    data_url,
    digest_of,
    file,
    file_of,
    form,
    mask_with_hole,
    noise,
    open_house,
    open_picture,
    png,
    text,
    until,
)

LOOK = {"b64_json", "created_at", "size", "quality", "background", "output_format"}
PARTIAL = {"type", *LOOK, "partial_image_index"}
COMPLETED = {"type", *LOOK, "usage", "url", "backend", "sent_model", "cost_microusd", "cache"}
OURS = {"index"}
"""Beyond the contract, which has no word for which of several images an event is of; COMPLETED has five more."""

Event = tuple[str, dict[str, Any]]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("streaming")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def nothing_stays(house: House) -> Iterator[None]:
    house.behave(paint="flat")
    with house.unharmed():
        yield


def listen(house: House, prompt: str, model: str = "gpt-image-2", **fields: object) -> list[Event]:
    """Order a stream and return its events, as `httpx-sse` reads them."""
    body = {"model": model, "prompt": prompt, "stream": True, **fields}
    return [event for event, _ in listen_with_times(house, json=body)]


def listen_with_times(house: House, *, route: str = GENERATIONS, **request: Any) -> list[tuple[Event, float]]:
    """Return the events, each with its instant by the clock that the sandbox's journal has too."""
    # Not `connect_sse`: it says `cache-control: no-store`, which means something here.
    with house.client.stream("POST", route, **request) as answer:
        assert answer.status_code == 200, answer.read()
        return [
            ((sent.event, orjson.loads(sent.data)), time.monotonic())
            for sent in EventSource(answer).iter_sse()
        ]


def names(events: list[Event]) -> list[str]:
    return [name.partition(".")[2] or name for name, _ in events]


def picture_of(event: Event) -> bytes:
    return base64.b64decode(event[1]["b64_json"], validate=True)


def check_event(event: Event, name: str, fields: set[str]) -> None:
    """Check the name, the fields and their types against the contract, section 3."""
    sent_name, payload = event
    assert sent_name == payload["type"] == name
    assert set(payload) == fields | OURS
    assert isinstance(payload["created_at"], int)
    assert abs(payload["created_at"] - datetime.now(UTC).timestamp()) < 60
    for field in ("size", "quality", "background", "output_format"):
        assert isinstance(payload[field], str)
    assert payload["output_format"] in ("png", "jpeg", "webp")
    if "usage" in payload:
        check_usage(payload["usage"])
    open_picture(picture_of(event))


def check_usage(usage: dict[str, Any]) -> None:
    assert set(usage) == {"total_tokens", "input_tokens", "output_tokens", "input_tokens_details"}
    assert set(usage["input_tokens_details"]) == {"text_tokens", "image_tokens"}
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0


class Raw:
    """A stream byte by byte, on a connection of its own."""

    def __init__(
        self, house: House, body: bytes, *, route: str = GENERATIONS, kind: str = "application/json"
    ) -> None:
        parts = urlsplit(house.gateway.url)
        self.socket = socket.create_connection((parts.hostname, parts.port or 80), timeout=30)
        head = (
            f"POST {route} HTTP/1.1\r\nHost: gateway\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.socket.sendall(head.encode() + body)
        self.taken = b""

    def read_until(self, mark: bytes) -> bytes:
        while mark not in self.taken:
            piece = self.socket.recv(65_536)
            assert piece, self.taken[-300:]
            self.taken += piece
        return self.taken

    def read_all(self) -> bytes:
        while piece := self.socket.recv(65_536):
            self.taken += piece
        return self.taken


@contextlib.contextmanager
def raw(house: House, **fields: object) -> Iterator[Raw]:
    opened = Raw(house, orjson.dumps({"model": "gpt-image-2", "stream": True, **fields}))
    try:
        yield opened
    finally:
        opened.socket.close()


def decode_chunks(answer: bytes) -> tuple[bytes, bytes]:
    """Return head and body of a chunked answer that is complete."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    body = b""
    while True:
        length, _, rest = rest.partition(b"\r\n")
        size = int(length, 16)
        body, rest = body + rest[:size], rest[size + 2 :]
        if size == 0:
            assert rest == b""
            return head, body


def test_a_generation_with_its_stages(house: House, prompt: str) -> None:
    events = listen(house, prompt, partial_images=3, quality="low", size="1024x1024")

    *stages, completed = events
    for number, stage in enumerate(stages):
        check_event(stage, "image_generation.partial_image", PARTIAL)
        assert (stage[1]["partial_image_index"], stage[1]["index"]) == (number, 0)
    check_event(completed, "image_generation.completed", COMPLETED)
    assert len(stages) == 3
    assert (completed[1]["quality"], completed[1]["size"]) == ("low", "1024x1024")
    assert open_picture(picture_of(completed)).size == (1024, 1024)


def test_an_edit_with_its_stages(house: House, prompt: str) -> None:
    picture = png(seed=1)
    fields = {"prompt": prompt, "model": "gpt-image-2", "stream": "true", "partial_images": "2"}

    events = listen_with_times(
        house, route=EDITS, data=fields, files=[("image", ("a", picture, "application/octet-stream"))]
    )

    *stages, completed = [event for event, _ in events]
    assert len(stages) == 2
    for stage in stages:
        check_event(stage, "image_edit.partial_image", PARTIAL)
    check_event(completed, "image_edit.completed", COMPLETED)
    [call] = house.journal_of_input(picture)
    assert call["parameters"]["partial_images"] == 2


@pytest.mark.parametrize("said", [{}, {"stream": True}, {"stream": False}], ids=["absent", "true", "false"])
def test_the_route_for_streams_always_streams(house: House, prompt: str, said: dict[str, bool]) -> None:
    body = {"model": "gpt-image-2", "prompt": prompt, "partial_images": 1, **said}

    events = [event for event, _ in listen_with_times(house, route=f"{GENERATIONS}/stream", json=body)]

    assert names(events) == ["partial_image", "completed"]


def test_the_route_for_streams_of_edits_takes_forms_and_json(house: House, prompt: str) -> None:
    fields = {"prompt": prompt, "model": "gpt-image-2", "partial_images": "1", "stream": "false"}
    files = [("image", ("a", png(seed=2), "application/octet-stream"))]
    body = {"prompt": prompt, "model": "gpt-image-2", "images": [{"image_url": data_url(png(seed=2))}]}
    route = f"{EDITS}/stream"

    by_form = [event for event, _ in listen_with_times(house, route=route, data=fields, files=files)]
    by_json = [event for event, _ in listen_with_times(house, route=route, json=body)]

    assert names(by_form) == ["partial_image", "completed"]
    assert names(by_json) == ["completed"]
    # The same order, so the same image.
    assert picture_of(by_form[-1]) == picture_of(by_json[-1])


def test_a_refusal_of_a_route_for_streams_is_a_plain_answer(house: House) -> None:
    answer = house.client.post(f"{GENERATIONS}/stream", json={"prompt": ""})

    check_error(answer, 400, code="empty_string", param="prompt")


def test_without_stages_there_is_one_event(house: House, prompt: str) -> None:
    [completed] = listen(house, prompt)

    check_event(completed, "image_generation.completed", COMPLETED)
    [call] = house.journal(prompt=prompt)
    assert "partial_images" not in call["parameters"]


def test_every_sdk_can_read_the_bytes_on_the_wire(house: House, prompt: str) -> None:
    """No `id:` and no `retry:`, which the Python SDK fails on, and one line of data an event."""
    with raw(house, prompt=prompt, partial_images=2) as stream:
        head, body = decode_chunks(stream.read_all())

    assert head.startswith(b"HTTP/1.1 200 ")
    fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:])
    assert fields[b"content-type"].startswith(b"text/event-stream")
    assert fields[b"cache-control"] == b"no-cache"
    assert fields[b"x-accel-buffering"] == b"no"
    assert fields[b"x-request-id"]
    assert fields[b"x-model-sent"] == b"gpt-image-2"
    blocks = body.split(b"\n\n")
    assert blocks.pop() == b""
    assert [block.split(b"\n")[0] for block in blocks] == [
        b"event: image_generation.partial_image",
        b"event: image_generation.partial_image",
        b"event: image_generation.completed",
    ]
    assert all(block.split(b"\n")[1].startswith(b"data: {") for block in blocks)
    assert all(len(block.split(b"\n")) == 2 for block in blocks)


def test_the_callers_name_comes_back(house: House, prompt: str) -> None:
    [(_, payload)] = listen(house, prompt, safety_identifier="ann-1")

    assert payload["safety_identifier"] == "ann-1"
    assert "ann-1" not in str(house.journal(prompt=prompt))


def test_a_hit_streams_as_completed_events(house: House, prompt: str) -> None:
    made = listen(house, prompt, n=2)

    hits = listen(house, prompt, n=2, partial_images=3)

    assert names(hits) == ["completed", "completed"]
    for event in hits:
        check_event(event, "image_generation.completed", COMPLETED)
    assert {picture_of(event) for event in hits} == {picture_of(event) for event in made}
    assert len(house.journal(prompt=prompt)) == 2


def test_headers_have_only_known_values(house: House, prompt: str) -> None:
    """One of three is cached: what the others will cost shows in the log, no header can tell it."""
    body = {"model": "gpt-image-2", "prompt": prompt, "stream": True}
    listen(house, prompt)

    headers = {n: dict(_read_stream(house, {**body, "n": n}).headers) for n in (3, 1)}

    assert not {"x-backend", "x-cache", "x-cost-microusd", "age"} & headers[3].keys()
    assert "x-backend" not in headers[1]
    assert (headers[1]["x-cache"], headers[1]["x-cost-microusd"]) == ("hit", "0")

    def find_line() -> list[dict[str, Any]]:
        lines = house.gateway.log_lines("request")
        return [line for line in lines if line["request_id"] == headers[3]["x-request-id"]]

    # A line is written after its answer.
    until(find_line)
    [told] = find_line()
    assert (told["made"], told["cached"], told["cache"]) == (2, 1, "partial")
    assert told["cost_microusd"] > 0


def _read_stream(house: House, body: dict[str, Any]) -> httpx.Response:
    with house.client.stream("POST", GENERATIONS, json=body) as answer:
        answer.read()
        return answer


def test_a_stream_and_a_plain_order_share_their_images(house: House, prompt: str) -> None:
    [completed] = listen(house, prompt)

    body = {"model": "gpt-image-2", "prompt": prompt}
    plain = house.client.post(GENERATIONS, json=body)

    assert plain.headers["x-cache"] == "hit"
    assert plain.json()["data"][0]["b64_json"] == completed[1]["b64_json"]


def test_images_of_old_models_are_sent_as_they_finish(house: House, prompt: str) -> None:
    """Three calls that take different times; the events come apart, in the order they are done."""
    house.behave(paint="flat", latency_s=0.1, latency_jitter_s=5)

    timed = listen_with_times(house, json={"model": "dall-e-3", "prompt": prompt, "n": 3, "stream": True})

    events = [event for event, _ in timed]
    for event in events:
        check_event(event, "image_generation.completed", {*COMPLETED, "revised_prompt"})
    assert sorted(payload["index"] for _, payload in events) == [0, 1, 2]
    calls = house.journal(prompt=prompt)
    assert [call["parameters"]["n"] for call in calls] == [1, 1, 1]
    finished_s = {call["images"][0]["sha256"]: call["finished_monotonic_s"] for call in calls}
    in_turn_s = [finished_s.pop(digest_of(picture_of(event))) for event in events]
    assert finished_s == {}
    # Those that are done at nearly the same time may come in any order.
    assert all(later_s > earlier_s - 0.5 for earlier_s, later_s in itertools.pairwise(in_turn_s))
    assert timed[0][1] < max(in_turn_s)


def test_stages_of_several_images_are_distinguished(house: House, prompt: str) -> None:
    events = listen(house, prompt, "dall-e-3", n=3, partial_images=2)

    stages = [
        (payload["index"], payload["partial_image_index"])
        for name, payload in events
        if name.endswith("partial_image")
    ]
    assert sorted(stages) == [(index, number) for index in range(3) for number in range(2)]
    assert all(stages.index((index, 0)) < stages.index((index, 1)) for index in range(3))
    assert names(events).count("completed") == 3


def test_an_old_size_is_finished_before_the_completed_event(house: House, prompt: str) -> None:
    [event] = listen(house, prompt, "dall-e-2", size="256x256")

    assert open_picture(picture_of(event)).size == (256, 256)
    assert event[1]["size"] == "256x256"


def test_a_streamed_edit_keeps_the_masked_area(house: House, prompt: str) -> None:
    source = noise(256, seed=2)
    parts = [("image", ("a", file_of(source))), ("mask", ("b", file_of(mask_with_hole(256))))]
    fields = {"prompt": prompt, "model": "dall-e-2", "stream": "true", "size": "256x256"}

    [(event, _)] = listen_with_times(house, route=EDITS, data=fields, files=parts)

    kept = (0, 0, 128, 256)
    picture = open_picture(picture_of(event)).convert("RGB")
    assert picture.crop(kept).tobytes() == source.crop(kept).tobytes()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"partial_images": 4}, "partial_images"),
        ({"partial_images": -1}, "partial_images"),
        ({"output_format": "gif"}, "stream"),
        ({"prompt": ""}, "prompt"),
        ({"n": 11}, "n"),
        ({"model": "gpt-image-9"}, "model"),
    ],
)
def test_a_refusal_before_the_first_event_is_a_plain_answer(
    house: House, prompt: str, fields: dict[str, object], param: str
) -> None:
    body = {"model": "gpt-image-2", "prompt": prompt, "stream": True, **fields}

    answer = house.client.post(GENERATIONS, json=body)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert answer.headers["content-type"] == "application/json"


def test_a_refused_prompt_is_a_plain_answer_too(house: House, prompt: str) -> None:
    body = {"model": "gpt-image-2", "prompt": f"{prompt} forbidden-word", "stream": True, "partial_images": 1}

    answer = house.client.post(GENERATIONS, json=body)

    check_error(answer, 400, code="moderation_blocked", param=None)
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("fault", ["error_event", "cut", "silent_end"])
def test_a_stream_that_breaks_upstream_ends_with_an_error(house: House, prompt: str, fault: str) -> None:
    house.behave(paint="flat", stream_fault=fault)

    events = listen(house, prompt, partial_images=2)

    assert names(events) == ["partial_image", "error"]
    name, payload = events[-1]
    assert name == payload["type"] == "error"
    assert set(payload) == {"type", "error"}
    assert set(payload["error"]) >= {"message", "type", "param", "code"}
    assert payload["error"]["type"] == "upstream_error"
    [call] = house.journal(prompt=prompt)
    # What was sent is not sent again: it may have been billed.
    assert call["parameters"]["partial_images"] == 2


def test_one_failed_image_of_three_is_reported_at_the_end(house: House, prompt: str) -> None:
    failure = {"status": 400, "code": "invalid_value", "message": "no"}
    house.behave(paint="flat", failures=[failure])

    events = listen(house, prompt, "dall-e-3", n=3)

    assert names(events) == ["completed", "completed", "error"]
    assert events[-1][1]["error"]["code"] == "partial_failure"


def test_a_reader_that_leaves_changes_nothing_for_the_order(house: House, prompt: str) -> None:
    house.behave(paint="flat", latency_s=1.5)
    with raw(house, prompt=prompt, partial_images=3) as stream:
        stream.read_until(b"event: image_generation.partial_image")
    calls = house.journal(prompt=prompt)

    house.behave(paint="flat")
    [again] = listen(house, prompt)

    assert names([again]) == ["completed"]
    assert len(calls) == len(house.journal(prompt=prompt)) == 1
    assert calls[0]["images"][0]["sha256"] == digest_of(picture_of(again))


def test_a_reader_that_leaves_before_the_first_event_changes_nothing_either(
    house: House, prompt: str
) -> None:
    house.behave(paint="flat", latency_s=1.0)
    with raw(house, prompt=prompt):
        until(lambda: prompt in house.sandbox.get("/sandbox/journal").text)
    house.journal(prompt=prompt)

    house.behave(paint="flat")

    assert names(listen(house, prompt)) == ["completed"]
    assert len(house.journal(prompt=prompt)) == 1


def test_a_reader_that_leaves_a_streamed_edit_leaves_no_file(house: House, prompt: str) -> None:
    house.behave(paint="flat", latency_s=1.0)
    picture = png(seed=3)
    body = form(
        text("prompt", prompt), text("model", "gpt-image-2"), text("stream", "true"), file("image", picture)
    )
    stream = Raw(house, body, route=EDITS, kind=f"multipart/form-data; boundary={BOUNDARY}")
    until(lambda: prompt in house.sandbox.get("/sandbox/journal").text)
    stream.socket.close()
    assert len(house.uploads()) == 1

    house.check_uploads_gone()
    assert house.edit(("image", picture), prompt=prompt, model="gpt-image-2").headers["x-cache"] == "hit"


def test_a_slow_reader_delays_no_other(house: House, prompt: str) -> None:
    with raw(house, prompt=prompt, n=4, size="3840x2160") as stream:
        stream.read_until(b"\r\n\r\n")
        assert house.client.get("/livez").status_code == 200
        head, body = decode_chunks(stream.read_all())

    assert head.startswith(b"HTTP/1.1 200")
    assert body.count(b"event: image_generation.completed") == 4


def test_the_official_sdk_reads_stages_and_images(house: House, prompt: str) -> None:
    openai = pytest.importorskip("openai")
    # The SDK's own client would heed the proxies of the environment.
    transport = httpx.Client(trust_env=False)
    with openai.OpenAI(base_url=f"{house.gateway.url}/v1", api_key="sk-x", http_client=transport) as client:
        stream = client.images.generate(
            model="gpt-image-2", prompt=prompt, stream=True, partial_images=2, n=1
        )
        kinds = [event.type for event in stream]
        edited = [
            event.type
            for event in client.images.edit(
                model="gpt-image-2", prompt=prompt, image=[png(seed=4), png(seed=5)], stream=True
            )
        ]
        house.behave(paint="flat", stream_fault="cut")
        with pytest.raises(openai.APIError) as caught:
            list(
                client.images.generate(
                    model="gpt-image-2", prompt=f"{prompt}!", stream=True, partial_images=1
                )
            )

    assert kinds == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert edited == ["image_edit.completed"]
    assert caught.value.code == "upstream_invalid_response"


def test_concurrent_streams_do_not_mix(house: House, prompt: str) -> None:
    results: dict[int, list[Event]] = {}

    def run(number: int) -> None:
        results[number] = listen(house, f"{prompt} {number}", n=2, partial_images=1)

    readers = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()

    for number in range(6):
        painted = {
            image["sha256"] for call in house.journal(prompt=f"{prompt} {number}") for image in call["images"]
        }
        completed = [event for event in results[number] if event[0].endswith("completed")]
        assert {digest_of(picture_of(event)) for event in completed} == painted
