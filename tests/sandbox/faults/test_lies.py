"""Answers that lie or do harm."""

import zlib

import httpx
import pytest

from tests.sandbox.image_files import open_image, read_files
from tests.sandbox.process import SandboxHandle

MEBIBYTE = 1024 * 1024


async def test_paints_another_size_than_it_says(sandbox: SandboxHandle) -> None:
    await sandbox.behave(painted_size="512x768", paint="flat")

    answer = await sandbox.generate(size="1024x1024")

    assert answer.json()["size"] == "1024x1024"
    assert [open_image(file).size for file in read_files(answer)] == [(512, 768)]


async def test_a_small_answer_grows_when_it_is_decoded(sandbox: SandboxHandle) -> None:
    size = 64 * MEBIBYTE
    await sandbox.behave(failures=[{"status": 200, "body": "gzip_bomb", "bomb_bytes": size}])
    body = {"model": "gpt-image-2", "prompt": "a cat"}

    async with sandbox.client.stream("POST", "/v1/images/generations", json=body) as answer:
        raw = b"".join([piece async for piece in answer.aiter_raw()])

    decoder = zlib.decompressobj(31)
    decoded = decoder.decompress(raw)
    assert (answer.status_code, answer.headers["content-encoding"]) == (200, "gzip")
    assert len(raw) * 500 < len(decoded)
    assert decoded[:34] + decoded[-4:] == b'{"created":1,"data":[{"b64_json":""}]}'
    assert decoded.count(b"A") == size
    assert decoder.eof


async def test_redirects_where_it_is_told(sandbox: SandboxHandle) -> None:
    place = "http://169.254.169.254/latest"
    await sandbox.behave(failures=[{"status": 302, "body": "empty", "headers": {"location": place}}])

    answer = await sandbox.generate()

    assert (answer.status_code, answer.headers["location"], answer.content) == (302, place, b"")


async def test_names_any_url_as_an_image(sandbox: SandboxHandle) -> None:
    await sandbox.behave(image_url="http://10.0.0.1/secret", paint="flat")

    answer = await sandbox.generate(n=2)

    assert answer.json()["data"] == [{"url": "http://10.0.0.1/secret"}] * 2
    assert [entry["billed"] for entry in await sandbox.journal()] == [True]


@pytest.mark.parametrize("is_billed", [True, False])
async def test_answers_without_data(sandbox: SandboxHandle, is_billed: bool) -> None:
    await sandbox.behave(failures=[{"status": 200, "body": "empty_data", "after_painting": is_billed}])

    answer = await sandbox.generate()

    assert (answer.status_code, answer.json()) == (200, {"created": 1, "data": []})
    assert [entry["billed"] for entry in await sandbox.journal()] == [is_billed]


@pytest.mark.parametrize("is_billed", [True, False])
async def test_closes_the_connection_in_an_answer(sandbox: SandboxHandle, is_billed: bool) -> None:
    await sandbox.behave_towards(
        "sk-test", failures=[{"status": 200, "body": "cut", "after_painting": is_billed}]
    )

    with pytest.raises(httpx.RemoteProtocolError):
        await sandbox.generate()

    assert [entry["billed"] for entry in await sandbox.journal()] == [is_billed]
    assert (await sandbox.generate()).status_code == 200


@pytest.mark.parametrize("status", [502, 504, 520])
async def test_proxies_answer_with_and_without_an_envelope(sandbox: SandboxHandle, status: int) -> None:
    await sandbox.behave(
        failures=[
            {"status": status},
            {"status": status, "body": "html", "after_painting": True},
            {"status": status, "body": "empty"},
        ]
    )

    envelope, page, empty = [await sandbox.generate() for _ in range(3)]

    assert {answer.status_code for answer in (envelope, page, empty)} == {status}
    assert envelope.json()["error"]["type"] == "server_error"
    assert (page.text.startswith("<html>"), empty.content) == (True, b"")
    assert [entry["billed"] for entry in await sandbox.journal()] == [False, True, False]


@pytest.mark.parametrize(
    "body", [{"painted_size": "large"}, {"failures": [{"status": 200, "bomb_bytes": 0}]}, {"masks": "black"}]
)
async def test_refuses_lies_it_does_not_know(sandbox: SandboxHandle, body: object) -> None:
    answer = await sandbox.client.put("/sandbox/behaviour", json=body)

    assert answer.status_code == 400
