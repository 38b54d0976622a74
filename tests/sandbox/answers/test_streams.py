"""Streams: what is in them, when it comes, and how they break."""

import base64
import time

import httpx
import pytest
from openai import APIError, AsyncOpenAI
from PIL import Image, ImageChops, ImageStat

from service.sandbox.painting.watermark import read_watermark
from tests.sandbox.events import Event, read_events, read_until_cut
from tests.sandbox.image_files import make_file, open_image
from tests.sandbox.process import SandboxHandle

LOOK = {"background", "output_format", "quality", "size"}
PARTIAL = LOOK | {"type", "b64_json", "created_at", "partial_image_index"}
COMPLETED = LOOK | {"type", "b64_json", "created_at", "usage"}


def to_file(event: Event) -> bytes:
    return base64.b64decode(event.data["b64_json"], validate=True)


async def test_a_generation_streams_partials_and_its_image(sandbox: SandboxHandle) -> None:
    answer = await sandbox.generate(stream=True, partial_images=3, size="1536x864", prompt="twelve chars")

    events = read_events(answer)
    assert [event.name for event in events] == [
        *["image_generation.partial_image"] * 3,
        "image_generation.completed",
    ]
    assert [event.data["type"] for event in events] == [event.name for event in events]
    assert [set(event.data) for event in events] == [PARTIAL, PARTIAL, PARTIAL, COMPLETED]
    assert [event.data["partial_image_index"] for event in events[:3]] == [0, 1, 2]
    assert {event.data["size"] for event in events} == {"1536x864"}
    (entry,) = await sandbox.journal()
    assert (entry["status"], entry["billed"], len(entry["images"])) == (200, True, 1)


async def test_an_edit_streams_under_its_own_names(sandbox: SandboxHandle) -> None:
    answer = await sandbox.edit(make_file(), stream=True, partial_images=1, safety_identifier="s")

    first, last = read_events(answer)
    assert (first.name, last.name) == ("image_edit.partial_image", "image_edit.completed")
    assert (set(first.data), set(last.data)) == (PARTIAL, COMPLETED | {"safety_identifier"})


async def test_headers_are_those_of_an_answer_but_for_the_type(sandbox: SandboxHandle) -> None:
    answer = await sandbox.generate(stream=True)

    (entry,) = await sandbox.journal()
    assert answer.headers["x-request-id"] == entry["request_id"]
    assert answer.headers["openai-processing-ms"].isdecimal()
    assert answer.headers["x-ratelimit-limit-images"].isdecimal()
    assert "content-length" not in answer.headers


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("paint", ["full", "flat"])
async def test_partials_are_images_of_the_same_size_and_mark(
    sandbox: SandboxHandle, output_format: str, paint: str
) -> None:
    await sandbox.behave(paint=paint)

    answer = await sandbox.generate(
        stream=True, partial_images=3, output_format=output_format, size="1024x1536"
    )

    images = [open_image(to_file(event)) for event in read_events(answer)]
    assert [(image.format or "").lower() for image in images] == [output_format] * 4
    assert {image.size for image in images} == {(1024, 1536)}
    (entry,) = await sandbox.journal()
    for event in read_events(answer):
        mark = read_watermark(to_file(event))
        assert (mark.serial, mark.order_hash) == (
            entry["images"][0]["serial"],
            entry["images"][0]["order_hash"],
        )


async def test_each_partial_is_nearer_to_the_image(sandbox: SandboxHandle) -> None:
    answer = await sandbox.generate(stream=True, partial_images=3)

    *partials, image = [open_image(to_file(event)).convert("L") for event in read_events(answer)]
    distances = [distance(partial, image) for partial in partials]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] > 0


async def test_a_transparent_partial_is_transparent(sandbox: SandboxHandle) -> None:
    answer = await sandbox.generate(stream=True, partial_images=1, background="transparent")

    for event in read_events(answer):
        assert open_image(to_file(event)).getpixel((2, 2))[3] == 0  # type: ignore[index] # RGBA is a tuple


async def test_partials_are_spread_over_the_latency(sandbox: SandboxHandle) -> None:
    await sandbox.behave(latency_s=0.6, paint="flat")
    body = {"model": "gpt-image-2", "prompt": "a cat", "stream": True, "partial_images": 2}
    started_s = time.monotonic()

    async with sandbox.client.stream("POST", "/v1/images/generations", json=body) as answer:
        lines = answer.aiter_lines()
        came_s = [time.monotonic() - started_s async for line in lines if line.startswith("event:")]

    assert all(after_s >= least_s for after_s, least_s in zip(came_s, (0.2, 0.4, 0.6), strict=True))


async def test_a_partial_does_not_wait_for_the_end(sandbox: SandboxHandle) -> None:
    await sandbox.behave(latency_s=8, paint="flat")
    body = {"model": "gpt-image-2", "prompt": "a cat", "stream": True, "partial_images": 3}

    async with sandbox.client.stream("POST", "/v1/images/generations", json=body) as answer:
        await anext(line async for line in answer.aiter_lines() if line.startswith("event:"))
        (entry,) = await sandbox.journal(settle_s=0)

    assert entry["finished_monotonic_s"] is None


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("partial_images", [0, 2])
async def test_events_add_up_to_the_order(sandbox: SandboxHandle, n: int, partial_images: int) -> None:
    await sandbox.behave(paint="flat")
    answer = await sandbox.generate(stream=True, partial_images=partial_images, n=n, prompt="twelve chars")

    events = read_events(answer)
    completed = [event for event in events if event.name == "image_generation.completed"]
    assert (len(events), len(completed)) == (n * (partial_images + 1), n)
    assert completed[0].data["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 3},
        "output_tokens": 196 + 100 * partial_images,
        "total_tokens": 199 + 100 * partial_images,
    }
    assert sum(event.data["usage"]["total_tokens"] for event in completed) == 3 + n * (
        196 + 100 * partial_images
    )
    (entry,) = await sandbox.journal()
    assert [read_watermark(to_file(event)).serial for event in completed] == [
        one["serial"] for one in entry["images"]
    ]


async def test_refusals_and_failures_come_before_a_stream(sandbox: SandboxHandle) -> None:
    await sandbox.behave(
        failures=[{"status": 429, "retry_after_s": 1}, {"status": 500, "after_painting": True}]
    )

    answers = [await sandbox.generate(stream=True, partial_images=1) for _ in range(2)]
    answers.append(await sandbox.generate(stream=True, prompt="forbidden-word"))
    answers.append(await sandbox.generate(stream=True, partial_images=4))

    assert [answer.status_code for answer in answers] == [429, 500, 400, 400]
    assert {answer.headers["content-type"] for answer in answers} == {"application/json"}
    assert [entry["billed"] for entry in await sandbox.journal()] == [False, True, False, False]


@pytest.mark.parametrize("partial_images", [0, 2])
async def test_an_error_event_is_nested_and_costs_nothing(
    sandbox: SandboxHandle, partial_images: int
) -> None:
    await sandbox.behave(stream_fault="error_event")

    answer = await sandbox.generate(stream=True, partial_images=partial_images)

    *partials, error = read_events(answer)
    assert len(partials) == min(partial_images, 1)
    assert (error.name, set(error.data), error.data["type"]) == ("error", {"type", "error"}, "error")
    assert set(error.data["error"]) == {"message", "type", "param", "code"}
    assert error.data["error"]["type"] == "server_error"
    (entry,) = await sandbox.journal()
    assert (entry["status"], entry["error_code"], entry["billed"]) == (200, "server_error", False)


@pytest.mark.parametrize("partial_images", [0, 2])
async def test_a_cut_stream_breaks_off_and_is_billed(sandbox: SandboxHandle, partial_images: int) -> None:
    await sandbox.behave(stream_fault="cut")

    events, broken = await read_until_cut(sandbox, partial_images=partial_images)

    assert [event.name for event in events] == ["image_generation.partial_image"] * min(partial_images, 1)
    assert isinstance(broken, httpx.RemoteProtocolError)
    (entry,) = await sandbox.journal()
    assert (entry["status"], entry["billed"], len(entry["images"])) == (200, True, 1)


async def test_a_silent_end_is_clean_and_lacks_the_image(sandbox: SandboxHandle) -> None:
    await sandbox.behave(stream_fault="silent_end")

    events, broken = await read_until_cut(sandbox, partial_images=3)

    assert (len(events), broken) == (1, None)
    (entry,) = await sandbox.journal()
    assert (entry["status"], entry["billed"]) == (200, True)


async def test_a_fault_of_streams_leaves_other_answers_alone(sandbox: SandboxHandle) -> None:
    await sandbox.behave(stream_fault="cut")

    answer = await sandbox.generate()

    assert answer.status_code == 200


async def test_bills_a_caller_that_went_away(sandbox: SandboxHandle) -> None:
    await sandbox.behave(latency_s=0.4, paint="flat")
    body = {"model": "gpt-image-2", "prompt": "a cat", "stream": True, "partial_images": 1}
    async with sandbox.client.stream("POST", "/v1/images/generations", json=body) as answer:
        await anext(answer.aiter_bytes())

    (running,) = await sandbox.journal(settle_s=0)
    (settled,) = await sandbox.journal()

    assert (running["status"], running["finished_at"], running["billed"]) == (200, None, False)
    assert (settled["status"], settled["billed"]) == (200, True)


async def test_returns_fewer_images_than_asked(sandbox: SandboxHandle) -> None:
    await sandbox.behave(images_short=1, paint="flat")

    events = read_events(await sandbox.generate(stream=True, n=2))
    nothing = read_events(await sandbox.generate(stream=True, n=1))

    assert (len(events), nothing) == (1, [])


async def test_the_official_sdk_reads_it(sandbox: SandboxHandle) -> None:
    async with AsyncOpenAI(base_url=f"{sandbox.url}/v1", api_key="sk-test", max_retries=0) as client:
        generated = await client.images.generate(
            model="gpt-image-2", prompt="a cat", stream=True, partial_images=1
        )
        generations = [event async for event in generated]
        edited = await client.images.edit(
            model="gpt-image-2",
            prompt="a cat",
            image=("a.png", make_file(), "image/png"),
            stream=True,
            partial_images=1,
        )
        edits = [event async for event in edited]
        await sandbox.behave(stream_fault="error_event")
        broken = await client.images.generate(model="gpt-image-2", prompt="a cat", stream=True)
        with pytest.raises(APIError) as caught:
            await anext(aiter(broken))

    assert [type(event).__name__ for event in (*generations, *edits)] == [
        "ImageGenPartialImageEvent",
        "ImageGenCompletedEvent",
        "ImageEditPartialImageEvent",
        "ImageEditCompletedEvent",
    ]
    assert caught.value.code == "server_error"


def distance(one: Image.Image, other: Image.Image) -> float:
    return float(ImageStat.Stat(ImageChops.difference(one, other)).mean[0])
