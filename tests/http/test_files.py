"""Follow links to stored images: cacheable forever, never run, no way into the file system."""

from uuid import uuid4

import httpx
import pytest

from service.sandbox.painting.watermark import read_watermark
from tests.http.wire import Answer, ask, check_has_id, check_refused, get
from tests.processes import Gateway

PATH = "/v1/images/files/"


@pytest.fixture(scope="module")
def link(client: httpx.Client) -> httpx.URL:
    """One stored image."""
    return make_image(client)


@pytest.fixture(scope="module")
def data(link: httpx.URL) -> bytes:
    return httpx.get(link, trust_env=False).content


def make_image(client: httpx.Client) -> httpx.URL:
    fields = {"prompt": f"an image to look at, {uuid4().hex}", "model": "dall-e-3"}
    return httpx.URL(client.post("/v1/images/generations", json=fields).json()["data"][0]["url"])


def check_envelope(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.json()["error"]["code"] == code
    assert answer.headers["x-request-id"]


def test_a_file_has_the_headers_for_caches_and_browsers(client: httpx.Client, link: httpx.URL) -> None:
    answer = client.get(link)

    digest = link.path.removeprefix(PATH).removesuffix(".png")
    assert answer.status_code == 200
    assert read_watermark(answer.content).serial > 0
    headers = answer.headers
    assert headers["content-type"] == "image/png"
    assert headers["content-length"] == str(len(answer.content))
    assert headers["etag"] == f'"{digest}"'
    assert headers["cache-control"] == "private, max-age=31536000, immutable"
    assert headers["accept-ranges"] == "bytes"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert headers["content-disposition"].startswith("inline; filename=")
    assert headers["x-request-id"]


@pytest.mark.parametrize(("output_format", "media_type"), [("jpeg", "image/jpeg"), ("webp", "image/webp")])
def test_the_media_type_is_that_of_the_bytes(
    client: httpx.Client, prompt: str, output_format: str, media_type: str
) -> None:
    fields = {
        "prompt": prompt,
        "model": "gpt-image-2",
        "output_format": output_format,
        "response_format": "url",
    }
    link = client.post("/v1/images/generations", json=fields).json()["data"][0]["url"]

    answer = client.get(link)

    assert answer.headers["content-type"] == media_type
    assert answer.content.startswith({"jpeg": b"\xff\xd8\xff", "webp": b"RIFF"}[output_format])


def test_head_has_equal_headers_and_no_body(client: httpx.Client, link: httpx.URL) -> None:
    head, full = client.head(link), client.get(link)

    assert (head.status_code, head.content) == (200, b"")
    own = {"date", "x-request-id", "request-id"}
    assert {k: v for k, v in head.headers.items() if k not in own} == {
        k: v for k, v in full.headers.items() if k not in own
    }


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*", '"a" ,W/{} , "b"'])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_matching_etag_is_a_304(client: httpx.Client, link: httpx.URL, form: str, method: str) -> None:
    etag = client.head(link).headers["etag"]

    answer = client.request(method, link, headers={"if-none-match": form.format(etag)})

    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == etag
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("value", ['"other"', "", "nonsense", '"'])
def test_another_etag_gets_the_whole_file(client: httpx.Client, link: httpx.URL, value: str) -> None:
    assert client.get(link, headers={"if-none-match": value}).status_code == 200


@pytest.mark.parametrize(
    ("field", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=100-199", 100, 200),
        ("bytes=10-", 10, None),
        ("bytes=-10", -10, None),
        ("bytes=-99999999", 0, None),
        ("bytes=5-99999999", 5, None),
        ("bytes = 3 - 7", 3, 8),
    ],
)
def test_a_range_gets_its_part(
    client: httpx.Client, link: httpx.URL, data: bytes, field: str, start: int, end: int | None
) -> None:
    answer = client.get(link, headers={"range": field})

    expected = data[start:end]
    assert (answer.status_code, answer.content) == (206, expected)
    begin = data.index(expected) if len(expected) > 4 else start
    assert answer.headers["content-range"] == f"bytes {begin}-{begin + len(expected) - 1}/{len(data)}"
    assert answer.headers["content-length"] == str(len(expected))
    assert answer.headers["etag"]


@pytest.mark.parametrize("field", ["bytes=99999999-", "bytes=99999999-99999999", "bytes=-0"])
def test_a_range_beyond_the_end_is_a_416_with_the_size(
    client: httpx.Client, link: httpx.URL, data: bytes, field: str
) -> None:
    answer = client.get(link, headers={"range": field})

    check_envelope(answer, 416, "range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(data)}"


@pytest.mark.parametrize(
    "field",
    [
        "bytes=0-1,3-4",
        "bytes=" + ",".join(f"{start}-" for start in range(1000)),
        "items=0-1",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=--1",
        "bytes=1",
        "bytes=٣-٤",
        "bytes=" + "9" * 5000 + "-",
    ],
    ids=lambda field: field[:20],
)
def test_other_ranges_get_the_whole_file(
    client: httpx.Client, link: httpx.URL, data: bytes, field: str
) -> None:
    answer = client.get(link, headers=[(b"range", field.encode())])

    assert (answer.status_code, len(answer.content)) == (200, len(data))


def test_head_ignores_ranges(client: httpx.Client, link: httpx.URL, data: bytes) -> None:
    """RFC 9110, 14.2: ranges are defined for GET only."""
    answer = client.head(link, headers={"range": "bytes=0-0"})

    assert (answer.status_code, answer.headers["content-length"]) == (200, str(len(data)))


def test_if_range_guards_a_continued_download(client: httpx.Client, link: httpx.URL) -> None:
    etag = client.head(link).headers["etag"]
    dates = ["Tue, 12 May 2026 00:00:00 GMT", f"W/{etag}", '"other"']

    same = client.get(link, headers={"range": "bytes=0-9", "if-range": etag})
    others = [client.get(link, headers={"range": "bytes=0-9", "if-range": value}) for value in dates]

    assert same.status_code == 206
    assert [answer.status_code for answer in others] == [200, 200, 200]


def altered(link: httpx.URL) -> dict[str, str]:
    """Return paths with unsigned queries."""
    path, signature = link.path, link.params["sig"]
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    digest = path[len(PATH) :]
    other = PATH + ("1" if digest[0] == "0" else "0") + digest[1:]
    good = f"t=open&exp=0&sig={signature}"
    return {
        "no query": path,
        "no signature": f"{path}?t=open&exp=0",
        "no expiry": f"{path}?t=open&sig={signature}",
        "no team": f"{path}?exp=0&sig={signature}",
        "another team": f"{path}?t=other&exp=0&sig={signature}",
        "an empty team": f"{path}?t=&exp=0&sig={signature}",
        "two teams": f"{path}?t=open&{good}",
        "a team that is no name": f"{path}?t=..%2fopen&exp=0&sig={signature}",
        "an empty signature": f"{path}?t=open&exp=0&sig=",
        "a changed signature": f"{path}?t=open&exp=0&sig={flipped}",
        "a shortened signature": f"{path}?t=open&exp=0&sig={signature[:-1]}",
        "a longer signature": f"{path}?{good}A",
        "a later expiry": f"{path}?t=open&exp=9999999999&sig={signature}",
        "a past expiry": f"{path}?t=open&exp=1&sig={signature}",
        "another way to write it": f"{path}?t=open&exp=00&sig={signature}",
        "a sign": f"{path}?t=open&exp=-0&sig={signature}",
        "no number": f"{path}?t=open&exp=never&sig={signature}",
        "two signatures": f"{path}?{good}&sig={signature}",
        "two expiries": f"{path}?exp=0&{good}",
        "another image": f"{other}?{good}",
        "another format": f"{path.replace('.png', '.webp')}?{good}",
        "more expiry in the signature": f"{path}?t=open&exp=0&sig=0.{signature}",
        "broken UTF-8": f"{path}?t=open&exp=0&sig=%ff%fe",
        "a NUL": f"{path}?t=open&exp=0&sig=%00",
        "a long signature": f"{path}?t=open&exp=0&sig={'A' * 20_000}",
        "a long expiry": f"{path}?t=open&exp={'9' * 10_000}&sig={signature}",
    }


def test_the_unaltered_link_works(gateway: Gateway, link: httpx.URL) -> None:
    target = f"{link.path}?t=open&exp=0&sig={link.params['sig']}"

    assert ask(gateway.url, get(target)).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_unsigned_link_is_a_403(
    gateway: Gateway, client: httpx.Client, link: httpx.URL, method: str
) -> None:
    for name, target in altered(link).items():
        answer = ask(gateway.url, get(target, method=method), has_body=method == "GET")

        assert answer.status == 403, name
        if method == "GET":
            assert answer.json()["error"]["code"] == "invalid_link", name
        check_has_id(answer)


def test_a_link_with_many_more_fields_is_a_403(gateway: Gateway, link: httpx.URL) -> None:
    answer = ask(gateway.url, get(f"{link.raw_path.decode()}{'&utm=x' * 20}"))

    check_refused(answer, 403, code="invalid_link")


def test_a_forged_link_does_not_reveal_if_the_image_exists(gateway: Gateway, link: httpx.URL) -> None:
    there = ask(gateway.url, get(f"{link.path}?t=open&exp=0&sig=x"))
    nowhere = ask(gateway.url, get(f"{PATH}{'0' * 64}.png?t=open&exp=0&sig=x"))

    assert (there.status, there.body) == (nowhere.status, nowhere.body)


NAMES = (
    *("..%2f..%2fsecret", "..%2F..%2Fsecret", "%2e%2e%2fsecret", "%252e%252e%252fsecret", "..%5c..%5csecret"),
    *(
        "../../../secret",
        "....//secret",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "..",
        ".",
        "%2e",
        "secret",
        "lock",
    ),
    *("0" * 63 + ".png", "0" * 65 + ".png", "0" * 64, "0" * 64 + ".svg", "0" * 64 + ".png.html"),
    *(
        "0" * 64 + ".png%00",
        "0" * 64 + ".png%0a",
        "%00" + "0" * 64 + ".png",
        "A" * 64 + ".png",
        "g" * 64 + ".png",
    ),
    *(
        "0" * 64 + ".PNG",
        "0" * 64 + ".png/",
        "0" * 64 + ".png/info",
        "0" * 64 + "%2epng%20",
        "٣" * 64 + ".png",
    ),
    *("0" * 64 + "%ef%bc%8epng", "file:%2f%2f%2fetc%2fpasswd", "con", "~", "%7e", "*", "0" * 20_000),
)


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:30])
def test_an_invalid_name_is_refused(gateway: Gateway, name: str) -> None:
    answer = follow(gateway, get(f"{PATH}{name}?t=open&exp=0&sig=x".encode().decode("latin-1")))

    assert answer.status in {400, 403, 404}
    assert answer.json()["error"]["code"] in {
        "image_not_found",
        "invalid_link",
        "unknown_url",
        "malformed_request",
    }
    secret = (gateway.log.parent / "secret").read_bytes()
    assert secret not in answer.body


def follow(gateway: Gateway, request: bytes) -> Answer:
    """Ask, and once more where a trailing slash leads."""
    answer = ask(gateway.url, request)
    location = answer.header("location")
    if answer.status != 307 or location is None:
        return answer
    return ask(gateway.url, get(httpx.URL(location).raw_path.decode("ascii")))


def test_a_deleted_file_is_a_410_and_made_again_on_order(gateway: Gateway, client: httpx.Client) -> None:
    fields = {"prompt": f"gone, {uuid4().hex}", "model": "dall-e-3", "response_format": "url"}
    link = httpx.URL(client.post("/v1/images/generations", json=fields).json()["data"][0]["url"])
    name = link.path.removeprefix(PATH)
    (file,) = gateway.log.parent.rglob(name)
    file.unlink()

    check_envelope(client.get(link), 410, "image_gone")
    assert client.head(link).status_code == 410
    again = client.post("/v1/images/generations", json=fields | {"response_format": "b64_json"})
    assert (again.status_code, again.headers["x-cache"]) == (200, "miss")
