"""Values and encodings that clients write in several ways have one meaning, as JSON and as a form."""

import gzip
import json
import zlib
from collections.abc import Iterator
from secrets import token_hex

import httpx
import pytest

from tests.http.house import (
    BOUNDARY,
    EDITS,
    GENERATIONS,
    House,
    check_error,
    data_url,
    file,
    form,
    open_house,
    png,
    text,
    until,
)

MEBIBYTE = 2**20
ORDER = {"model": "gpt-image-2", "quality": "low"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("lenient")) as opened:
        opened.behave(paint="flat")
        yield opened


def generate(house: House, body: bytes, **headers: str) -> httpx.Response:
    given = {
        "content-type": "application/json",
        **{name.replace("_", "-"): each for name, each in headers.items()},
    }
    return house.client.post(GENERATIONS, content=body, headers=given)


def encode(prompt: str, **fields: object) -> bytes:
    return json.dumps({**ORDER, "prompt": prompt, **fields}).encode()


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"n": "2"}, {"n": 2}),
        ({"n": 2.0}, {"n": 2}),
        ({"n": "2.0"}, {"n": 2}),
        ({"n": ""}, {}),
        ({"size": "", "user": "", "response_format": "", "background": None}, {}),
        (
            {"output_format": "jpeg", "output_compression": "40"},
            {"output_format": "jpeg", "output_compression": 40},
        ),
    ],
    ids=["text", "float", "float in text", "empty", "several empty", "another number"],
)
@pytest.mark.parametrize("encoding", ["json", "form", "json edit"])
def test_a_value_means_the_same_in_every_encoding(
    house: House, prompt: str, encoding: str, fields: dict[str, object], sent: dict[str, object]
) -> None:
    if encoding == "json":
        answer = generate(house, encode(prompt, **fields))
    elif encoding == "json edit":
        body = {**ORDER, "prompt": prompt, "images": [{"image_url": data_url(png(seed=5))}], **fields}
        answer = house.client.post(EDITS, json=body)
    else:
        given = {
            **ORDER,
            "prompt": prompt,
            **{name: str(each) for name, each in fields.items() if each is not None},
        }
        answer = house.edit(("image", png(seed=6)), **given)

    assert answer.status_code == 200, answer.text
    [entry] = house.journal(prompt=prompt)
    parameters = {name: entry["parameters"][name] for name in entry["parameters"].keys() & fields.keys()}
    assert {**parameters, "n": len(answer.json()["data"])} == {"n": 1, **sent}


@pytest.mark.parametrize("stream", ["false", "0", ""])
def test_a_truth_value_may_be_text(house: House, prompt: str, stream: str) -> None:
    answer = generate(house, encode(prompt, stream=stream))

    assert answer.headers["content-type"] == "application/json"
    streamed = generate(house, encode(prompt, stream="true"))
    assert streamed.headers["content-type"].startswith("text/event-stream")


def test_the_route_of_streams_refuses_what_is_no_truth_value(house: House, prompt: str) -> None:
    form = {"image": ("a.png", png(seed=7), "image/png")}

    answer = house.client.post(f"{EDITS}/stream", files=form, data={"prompt": prompt, "stream": "perhaps"})

    check_error(answer, 400, code="invalid_type", param="stream")
    assert house.journal(prompt=prompt) == []


def test_a_byte_order_mark_is_skipped(house: House, prompt: str) -> None:
    assert generate(house, b"\xef\xbb\xbf" + encode(prompt)).status_code == 200


@pytest.mark.parametrize("name", ["gzip", "x-gzip", "GZIP"])
def test_gzip_is_decoded(house: House, prompt: str, name: str) -> None:
    answer = generate(house, gzip.compress(encode(prompt)), content_encoding=name)

    assert answer.status_code == 200, answer.text
    assert len(house.journal(prompt=prompt)) == 1


def test_a_form_may_be_gzip(house: House, prompt: str) -> None:
    image = png(300, seed=8)
    parts = [
        text("prompt", prompt),
        *(text(name, value) for name, value in ORDER.items()),
        file("image", image),
    ]
    answer = house.client.post(
        EDITS,
        content=gzip.compress(form(*parts)),
        headers={"content-type": f"multipart/form-data; boundary={BOUNDARY}", "content-encoding": "gzip"},
    )

    assert answer.status_code == 200, answer.text
    assert len(house.journal_of_input(image)) == 1


@pytest.mark.parametrize("name", ["br", "zstd", "deflate", "gzip, gzip", "x" * 200])
def test_other_encodings_are_refused_by_name(house: House, prompt: str, name: str) -> None:
    answer = generate(house, encode(prompt), content_encoding=name)

    check_error(answer, 415, code="unsupported_content_encoding", param=None)
    assert answer.headers["accept-encoding"] == "gzip, identity"
    assert f"'{name[:100]}'" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"{}", "is no gzip"),
        (gzip.compress(b'{"prompt": "x"}')[:-6], "is incomplete gzip"),
        (gzip.compress(b"{}") + gzip.compress(b"{}"), "has bytes behind the end of its gzip"),
        (zlib.compress(b"{}"), "is no gzip"),
    ],
    ids=["plain", "cut off", "two", "zlib"],
)
def test_a_body_that_is_no_gzip_is_refused(house: House, body: bytes, fault: str) -> None:
    answer = generate(house, body, content_encoding="gzip")

    check_error(answer, 400, code="invalid_content_encoding", param=None)
    assert fault in answer.json()["error"]["message"]


def test_a_decoded_body_has_the_limit_of_any_other(house: House) -> None:
    answer = generate(house, gzip.compress(encode("x" * 300_000)), content_encoding="gzip")

    check_error(answer, 413, code="request_too_large", param=None)


@pytest.mark.parametrize("is_chunked", [True, False], ids=["chunked", "with a length"])
def test_a_body_that_decodes_to_nothing_has_that_limit_too(house: House, *, is_chunked: bool) -> None:
    empty = b"\0\0\0\xff\xff" * 13_000
    body = [zlib.compressobj(wbits=zlib.MAX_WBITS | 16).flush(zlib.Z_SYNC_FLUSH), *([empty] * 300)]
    length = {} if is_chunked else {"content-length": str(sum(map(len, body)))}

    answer = house.client.post(
        GENERATIONS,
        content=iter(body),
        headers={"content-type": "application/json", "content-encoding": "gzip", **length},
    )

    check_error(answer, 413, code="request_too_large", param=None)


@pytest.mark.parametrize("kind", ["application/json", f"multipart/form-data; boundary={BOUNDARY}"])
def test_a_bomb_takes_little_room_and_no_time(house: House, kind: str) -> None:
    """A gigabyte in a megabyte: it ends with the second megabyte."""
    compressor = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    bomb = compressor.compress(form(file("image", b"")).partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    bomb += b"".join(compressor.compress(bytes(MEBIBYTE)) for _ in range(1024)) + compressor.flush()
    assert len(bomb) < 2 * MEBIBYTE

    # In small pieces: all at once, it may be twenty times as large as all that has come.
    answer = house.client.post(
        EDITS,
        content=(bomb[start : start + 1000] for start in range(0, len(bomb), 1000)),
        headers={"content-type": kind, "content-encoding": "gzip"},
    )

    check_error(answer, 400, code="invalid_content_encoding", param=None)
    until(lambda: not house.uploads())


def test_budgets_count_decoded_bytes(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compressible within the ratio, and more than all callers together may hold."""
    body = json.dumps({"prompt": token_hex(5 * MEBIBYTE)}).encode()
    with open_house(tmp_path_factory.mktemp("budget"), body_bytes=32 * MEBIBYTE, caller_share=0.25) as house:
        answer = house.client.post(
            EDITS,
            content=gzip.compress(body, 1),
            headers={"content-type": "application/json", "content-encoding": "gzip"},
        )

    check_error(answer, 413, code="request_too_large", param=None)
    assert f"{8 * MEBIBYTE}" in answer.json()["error"]["message"]
