"""Upload images: every form of clients, refusals, and no files left on disk."""

import itertools
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from tests.http.house import (
    BOUNDARY,
    EDITS,
    House,
    Part,
    check_error,
    digest_of,
    file,
    file_of,
    form,
    mask_with_hole,
    noise,
    open_house,
    png,
    post_form,
    text,
    until,
)

MIB = 1024 * 1024
FIELDS = (text("prompt", "a boat"), text("model", "gpt-image-2"), text("quality", "low"))
END = f"--{BOUNDARY}--\r\n".encode()

pytestmark = pytest.mark.usefixtures("nothing_stays")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("uploads")) as opened:
        opened.behave(paint="flat")
        yield opened


@pytest.fixture
def unspent(house: House) -> Iterator[None]:
    """Hold a test to it: nothing reached the provider."""
    before = len(house.journal())

    yield

    assert len(house.journal()) == before


def order(house: House, *parts: Part) -> httpx.Response:
    return post_form(house.client, form(*parts))


def sent_inputs(house: House, image: bytes) -> list[tuple[str, str, str]]:
    """Return field, type and digest of each input sent with *image*, which is sent only once."""
    [entry] = house.journal_of_input(image)
    return [(each["field"], each["content_type"], each["sha256"]) for each in entry["inputs"]]


@pytest.mark.parametrize("name", ["image", "image[]", "image[0]", "image[7]"])
def test_an_image_may_have_each_field_name(house: House, name: str) -> None:
    image = png(seed=zlib.crc32(name.encode()))

    answer = order(house, *FIELDS, file(name, image))

    assert answer.status_code == 200, answer.text
    assert sent_inputs(house, image) == [("image", "image/png", digest_of(image))]


@pytest.mark.parametrize(
    "names",
    [["image"] * 3, ["image[]"] * 3, ["image[0]", "image[1]", "image[2]"], ["image[]"] * 16],
    ids=["repeats", "lists", "indices", "sixteen"],
)
def test_several_images_keep_their_order(house: House, names: list[str]) -> None:
    images = [png(16, seed=100 * len(names[0]) + 7 * len(names) + i) for i in range(len(names))]

    answer = order(house, *FIELDS, *(file(*pair) for pair in zip(names, images, strict=True)))

    assert answer.status_code == 200, answer.text
    assert sent_inputs(house, images[0]) == [("image[]", "image/png", digest_of(image)) for image in images]


@pytest.mark.usefixtures("unspent")
@pytest.mark.parametrize(
    ("count", "code"), [(17, "array_above_max_length"), (18, "array_above_max_length"), (40, "invalid_value")]
)
def test_more_than_sixteen_images_are_refused(house: House, count: int, code: str) -> None:
    answer = order(house, *FIELDS, *(file("image[]", png(8, seed=i)) for i in range(count)))

    assert "16" in check_error(answer, 400, code=code, param="image" if count < 19 else "image[]")


def test_files_may_come_before_the_fields(house: House) -> None:
    image, mask = png(seed=20), file_of(mask_with_hole(64))

    answer = order(house, file("mask", mask), file("image", image), *FIELDS)

    assert answer.status_code == 200, answer.text
    # Roles, not positions, give the purpose of an image.
    assert sorted(field for field, _, _ in sent_inputs(house, image)) == ["image", "mask"]


def test_line_ends_of_a_form_are_those_of_json(house: House) -> None:
    """Browsers and the `fetch` of Node.js write them as CRLF: the same edit from a page and from Python would be paid for twice."""
    image = png(seed=21)

    answer = order(
        house, file("image", image), text("model", "gpt-image-2"), text("prompt", "two\r\nlines\n")
    )

    assert answer.status_code == 200, answer.text
    assert [entry["prompt"] for entry in house.journal_of_input(image)] == ["two\nlines\n"]


def test_a_chunked_body_is_accepted(house: House) -> None:
    image = png(seed=23)
    body = form(file("image", image), *FIELDS)

    answer = post_form(house.client, (body[i : i + 1000] for i in range(0, len(body), 1000)))

    assert answer.status_code == 200, answer.text
    assert len(house.journal_of_input(image)) == 1


def test_a_body_may_arrive_byte_by_byte(house: House) -> None:
    """Boundaries, headers and contents are cut in every place a packet may end."""
    image = png(8, seed=22)
    body = form(file("image", image), *FIELDS)

    answer = post_form(house.client, (body[i : i + 1] for i in range(len(body))))

    assert answer.status_code == 200, answer.text
    assert len(house.journal_of_input(image)) == 1


@pytest.mark.parametrize(
    ("kind", "options", "sent_as"),
    [
        ("PNG", {}, "image/png"),
        ("JPEG", {}, "image/jpeg"),
        ("WEBP", {"lossless": True}, "image/webp"),
    ],
)
@pytest.mark.parametrize("said", ["application/octet-stream", "text/plain", None])
def test_the_format_of_an_image_is_that_of_its_bytes(
    house: House, kind: str, options: dict[str, bool], sent_as: str, said: str | None
) -> None:
    image = file_of(noise(24, seed=len(f"{kind}{said}")), kind, **options)

    answer = order(house, *FIELDS, file("image", image, kind=said))

    assert answer.status_code == 200, answer.text
    assert sent_inputs(house, image) == [("image", sent_as, digest_of(image))]


@pytest.mark.usefixtures("unspent")
@pytest.mark.parametrize(
    "content",
    [b"", b"\x00", b"Example data", b"\x89PNG\r\n\x1a\n", b"%PDF-1.7", file_of(noise(8), "BMP"), b"<svg/>"],
    ids=["empty", "NUL", "text", "half a header", "PDF", "BMP", "SVG"],
)
def test_files_that_are_not_images_are_refused(house: House, content: bytes) -> None:
    answer = order(house, *FIELDS, file("image", content, kind="image/png"))

    check_error(answer, 400, code="unsupported_file_mimetype", param="image")


@pytest.mark.usefixtures("unspent")
def test_a_jpeg_of_two_images_is_refused_as_by_the_provider(house: House) -> None:
    """Phones write them (MPO), and Pillow has another name for their format."""
    image = file_of(noise(32), "MPO", save_all=True, append_images=[noise(32, seed=2)])

    answer = order(house, *FIELDS, file("image", image, kind="image/jpeg"))

    check_error(answer, 400, code="unsupported_file_mimetype", param="image")


@pytest.mark.usefixtures("unspent")
@pytest.mark.parametrize(
    ("parts", "param", "code"),
    [
        ([file("image", png(8))], "prompt", "missing_required_parameter"),
        ([text("prompt", ""), file("image", png(8))], "prompt", "empty_string"),
        ([text("prompt", "x")], "image", "missing_required_parameter"),
        ([*FIELDS, file("image", png(8)), text("n", "two")], "n", "invalid_type"),
        ([*FIELDS, file("image", png(8)), text("n", "0")], "n", "integer_below_min_value"),
        ([*FIELDS, file("image", png(8)), text("n", "1" * 5000)], "n", "invalid_type"),
        ([*FIELDS, file("image", png(8)), text("stream", "perhaps")], "stream", "invalid_type"),
        ([*FIELDS, file("image", png(8)), text("colour", "red")], "colour", "unknown_parameter"),
        ([*FIELDS, file("picture", png(8))], "picture", "unknown_parameter"),
        ([*FIELDS, file("images", png(8))], "images", "unknown_parameter"),
        ([*FIELDS, file("image[x]", png(8))], "image[x]", "unknown_parameter"),
        ([*FIELDS, file("image", png(8)), text("style", "vivid")], "style", "unknown_parameter"),
        ([*FIELDS, file("image", png(8)), text("moderation", "none")], "moderation", "invalid_value"),
        ([text("model", "gpt-image-9"), *FIELDS[:1], file("image", png(8))], "model", "invalid_value"),
    ],
)
def test_a_wrong_form_is_refused_by_name(
    house: House, parts: list[Part], param: str, code: str | None
) -> None:
    check_error(order(house, *parts), 400, code=code, param=param)


@pytest.mark.usefixtures("unspent")
@pytest.mark.parametrize("name", ["n", "model", "response_format", "size", "prompt", "stream", "user"])
def test_nesting_of_a_flat_field_is_refused(house: House, name: str) -> None:
    nested = text(f"{name}[x]", "1")
    fields = [field for field in FIELDS if field[0] != name]

    answer = order(house, *fields, file("image", png(8)), nested)

    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] in (name, f"{name}[x]")


@pytest.mark.usefixtures("unspent")
@pytest.mark.parametrize("name", ["svg[", "[", "]", "[]", "svg[a][b][c][d][e][f]", "svg[[[[[", "a]b[c"])
def test_malformed_nesting_is_refused(house: House, name: str) -> None:
    answer = order(house, *FIELDS, file("image", png(8)), text(name, "1"))

    assert answer.status_code == 400, answer.text


def test_an_empty_field_counts_as_missing(house: House) -> None:
    image = png(seed=30)

    answer = order(house, *FIELDS, text("size", ""), text("n", ""), text("user", ""), file("image", image))

    assert answer.status_code == 200, answer.text
    assert len(house.journal_of_input(image)) == 1


def test_a_file_of_51_mb_is_refused_while_it_is_read(house: House) -> None:
    """Without a length, so that only reading can tell; most of the body is never taken."""
    body = form(*FIELDS, file("image", b""))
    head, tail = body[: body.rindex(b"\r\n--")], body[body.rindex(b"\r\n--") :]
    taken = [0]

    def pieces() -> Iterator[bytes]:
        yield head
        for _ in range(300):
            taken[0] += 1
            yield b"x" * MIB
        yield tail

    try:
        answer = post_form(house.client, pieces())
    except httpx.WriteError:
        # The server may hang up on a client that reads only after it has sent everything.
        pass
    else:
        assert "52428800" in check_error(answer, 413, code="request_too_large", param=None)
    assert taken[0] >= 50
    house.check_uploads_gone()


@pytest.mark.usefixtures("unspent")
def test_an_image_above_the_models_limit_is_refused(house: House) -> None:
    """Bridged or not: the living model's 50 MB, and 4 MB for a mask."""
    mask = file_of(mask_with_hole(64)) + b"\x00" * (4 * MIB)

    answer = order(house, *FIELDS, file("image", png()), file("mask", mask))

    check_error(answer, 400, code="invalid_image_format", param="mask")


@pytest.mark.usefixtures("unspent")
def test_a_body_announced_as_too_large_is_refused_before_it_arrives(house: House) -> None:
    with _connect(house) as connection:
        connection.sendall(_head(f"Content-Length: {18 * 50 * MIB + 1}"))
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"request_too_large"' in answer


@pytest.mark.usefixtures("unspent")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--",
        b"nonsense",
        b"\r\n" * 1000,
        form(*FIELDS, file("image", png(8)), end=b""),
        form(*FIELDS, file("image", png(8)))[:-60],
        form(*FIELDS)[:-10],
        f"--{BOUNDARY}\r\n".encode(),
        f"--{BOUNDARY}\r\ncontent-disposition: form-data; name=".encode(),
        f"--{BOUNDARY}\r\n: x\r\n\r\n\r\n--{BOUNDARY}--\r\n".encode(),
        f"--{BOUNDARY}X\r\n".encode(),
        form(*FIELDS).replace(BOUNDARY.encode(), b"another"),
    ],
    ids=lambda body: repr(bytes(body[:12])) + str(len(body)),
)
def test_a_malformed_body_is_refused(house: House, body: bytes) -> None:
    answer = post_form(house.client, body)

    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.usefixtures("unspent")
@pytest.mark.parametrize("boundary", ["", "x" * 5000, "\N{LATIN SMALL LETTER E WITH ACUTE}"])
def test_a_form_needs_a_boundary(house: House, boundary: str) -> None:
    kind = f"multipart/form-data; boundary={boundary}" if boundary else "multipart/form-data"

    answer = house.client.post(
        EDITS, content=form(*FIELDS), headers=[(b"content-type", kind.encode("latin-1"))]
    )

    check_error(answer, 400, code="invalid_multipart", param=None)


@pytest.mark.usefixtures("unspent")
@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (f"--{BOUNDARY}\r\n\r\n\r\n".encode() * 100_000 + END, "invalid_multipart", None),
        (form(*FIELDS, file("image", png(8)), *[text("a", "x")] * 100_000), "invalid_multipart", None),
        (form(*FIELDS, *(text(f"a{i}", "x") for i in range(100_000))), "invalid_multipart", None),
        (form(*FIELDS, *[file("image", b"")] * 100_000), "invalid_value", "image"),
        ((b"\r\n--" + BOUNDARY.encode()[:-1]) * 100_000, "invalid_multipart", None),
    ],
    ids=["nameless", "one name", "many names", "files", "nearly boundaries"],
)
def test_too_many_parts_are_refused_at_low_cost(
    house: House, body: bytes, code: str, param: str | None
) -> None:
    with house.sparing():
        answer = post_form(house.client, body)

    check_error(answer, 400, code=code, param=param)


@pytest.mark.parametrize("end", [b"-", b"\r", b"a"])
def test_boundaries_without_number_in_a_file_are_refused_at_low_cost(house: House, end: bytes) -> None:
    """Each takes the parser through all of its steps in Python: most of a second for a megabyte."""
    boundary = "b"
    body = b'--b\r\ncontent-disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    body += (b"\r\n--b" + end) * 2**20 + b"\r\n--b--\r\n"

    with house.unharmed(), house.sparing():
        answer = post_form(house.client, body, boundary=boundary)

    check_error(answer, 400, code="invalid_multipart", param=None)


def test_bytes_after_the_last_boundary_are_ignored_at_low_cost(house: House) -> None:
    body = form(*FIELDS, file("image", png(8))) + f"\r\n--{BOUNDARY}".encode() * 100_000

    with house.sparing():
        answer = post_form(house.client, body)

    assert answer.status_code == 200, answer.text


def test_endlessly_repeated_fields_are_refused(house: House) -> None:
    """Each costs time to parse: the bound counts parts, not different names."""
    image = png(seed=31)
    body = form(*FIELDS, file("image", image), *[text("user", "ann")] * 100_000)

    answer = post_form(house.client, body)

    check_error(answer, 400, code="invalid_multipart", param=None)


@pytest.mark.usefixtures("unspent")
def test_the_headers_of_a_part_are_bounded(house: House) -> None:
    head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="prompt"\r\n'.encode()
    for extra in (b"x: " + b"y" * (4 * MIB) + b"\r\n", b"x: y\r\n" * 100_000):
        with house.sparing():
            answer = post_form(house.client, head + extra + b"\r\nx\r\n" + END)

        check_error(answer, 400, code="invalid_multipart", param=None)


@pytest.mark.usefixtures("unspent")
def test_a_text_field_of_a_megabyte_is_refused(house: House) -> None:
    answer = order(house, text("prompt", "x" * MIB), file("image", png(8)))

    check_error(answer, 413, code="request_too_large", param=None)


@pytest.mark.usefixtures("unspent")
def test_text_other_than_utf_8_is_refused(house: House) -> None:
    answer = order(house, ("prompt", b"\xff\xfe", None, None), file("image", png(8)))

    check_error(answer, 400, code="invalid_value", param="prompt")


@pytest.mark.parametrize(
    "filename", ["../../../../etc/passwd", "/etc/passwd", "..\\..\\x", "a\x00b", "%2e%2e/x"]
)
def test_a_file_name_is_never_a_path(house: House, filename: str) -> None:
    image = png(seed=zlib.crc32(filename.encode()))

    answer = order(house, *FIELDS, ("image", image, filename, "image/png"))

    assert answer.status_code == 200, answer.text
    assert len(house.journal_of_input(image)) == 1
    assert not any("passwd" in path.name for path in house.data_dir.rglob("*"))


def test_a_nul_in_a_prompt_is_sent(house: House) -> None:
    image = png(seed=33)

    answer = order(house, text("prompt", "a\x00boat"), FIELDS[1], file("image", image))

    assert answer.status_code == 200, answer.text
    assert [entry["prompt"] for entry in house.journal_of_input(image)] == ["a\x00boat"]


@pytest.mark.usefixtures("unspent")
@pytest.mark.parametrize(("width", "height"), [(30_000, 30_000), (65_535, 65_535), (2**31 - 1, 1)])
@pytest.mark.parametrize("name", ["image", "mask"])
def test_a_decompression_bomb_is_refused(house: House, name: str, width: int, height: int) -> None:
    bomb = png_claiming(width, height)
    parts = [file("image", bomb)] if name == "image" else [file("image", png(8)), file("mask", bomb)]

    answer = order(house, *FIELDS, *parts)

    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == name


def test_a_decompression_bomb_in_image_text_is_harmless(house: House) -> None:
    """The gateway does not unpack it; the provider refuses it."""
    packed = zlib.compress(b"\x00" * (200 * MIB), 9)
    image = png(8)
    bomb = image[:33] + _chunk(b"zTXt", b"Comment\x00\x00" + packed) + image[33:]
    started_s = time.process_time()
    zlib.decompress(packed)
    unpacking_s = time.process_time() - started_s
    spent_s = house.cpu_s()

    answer = order(house, *FIELDS, file("image", bomb))

    assert answer.status_code == 400, answer.text
    assert house.cpu_s() - spent_s < unpacking_s / 2


@pytest.mark.usefixtures("unspent")
@pytest.mark.parametrize(
    ("mask", "code"),
    [
        (file_of(mask_with_hole(32)), "invalid_image_format"),
        (file_of(Image.new("RGB", (64, 64))), "invalid_image_format"),
        (file_of(mask_with_hole(64), "WEBP", lossless=True), "invalid_image_format"),
        (b"no picture", "invalid_image_format"),
    ],
    ids=["another size", "no alpha", "no PNG", "no picture"],
)
@pytest.mark.parametrize("model", ["gpt-image-2", "dall-e-2"])
def test_masks_are_checked_before_anything_is_spent(house: House, model: str, mask: bytes, code: str) -> None:
    fields = text("prompt", "x"), text("model", model)

    answer = order(house, *fields, file("image", png()), file("mask", mask))

    check_error(answer, 400, code=code, param="mask")


@pytest.mark.usefixtures("unspent")
def test_mask_and_markup_exclude_each_other(house: House) -> None:
    mask = file_of(mask_with_hole(64))
    fields = text("prompt", "x"), text("model", "gpt-image-2.5-flare")

    answer = order(house, *fields, file("image", png()), file("mask", mask), file("markup", mask))

    check_error(answer, 400, code="invalid_value", param="markup")


@pytest.mark.usefixtures("unspent")
def test_two_masks_are_refused(house: House) -> None:
    mask = file_of(mask_with_hole(64))

    answer = order(house, *FIELDS, file("image", png()), file("mask", mask), file("mask", mask))

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "mask"


@pytest.mark.usefixtures("unspent")
@pytest.mark.parametrize("has_reset", [False, True])
def test_a_client_that_disconnects_within_a_file_leaves_no_file(house: House, has_reset: bool) -> None:
    body = form(*FIELDS, file("image", b"x" * MIB))
    with _connect(house) as connection:
        connection.sendall(_head(f"Content-Length: {len(body)}") + body[: MIB // 2])
        until(house.uploads)
        if has_reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    house.check_uploads_gone()


def test_an_edit_is_finished_after_its_client_disconnects(house: House) -> None:
    image = png(seed=40)
    body = form(*FIELDS, file("image", image))
    house.behave(paint="flat", latency_s=1.0)
    try:
        with _connect(house) as connection:
            connection.sendall(_head(f"Content-Length: {len(body)}") + body)
            until(lambda: digest_of(image) in house.sandbox.get("/sandbox/journal").text)
            assert len(house.uploads()) == 1
    finally:
        house.behave(paint="flat")
    house.check_uploads_gone()

    answer = order(house, *FIELDS, file("image", image))

    assert answer.headers["x-cache"] == "hit"
    assert len(house.journal_of_input(image)) == 1


def test_a_refused_edit_leaves_no_file(house: House) -> None:
    image = png(seed=41)

    answer = order(house, text("prompt", "a forbidden-word"), FIELDS[1], file("image", image))

    check_error(answer, 400, code="moderation_blocked", param=None)
    house.check_uploads_gone()


@pytest.mark.usefixtures("unspent")
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
@pytest.mark.parametrize("route", [EDITS, "/v1/images/variations"])
def test_other_content_types_are_refused(house: House, route: str, kind: str) -> None:
    answer = house.client.post(route, content=b"prompt=x", headers={"content-type": kind})

    check_error(answer, 415, code="unsupported_media_type", param=None)


def png_claiming(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes whose header claims *width* x *height*."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(b"")), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _connect(house: House) -> socket.socket:
    parts = urlsplit(house.gateway.url)
    return socket.create_connection((parts.hostname, parts.port or 80), timeout=10)


def _head(*fields: str) -> bytes:
    kind = f"Content-Type: multipart/form-data; boundary={BOUNDARY}"
    lines = itertools.chain((f"POST {EDITS} HTTP/1.1", "Host: gateway", kind), fields)
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@pytest.mark.parametrize("name", ["image", "image[]", "image[0]"])
def test_a_part_without_a_file_name_is_an_image_by_its_field(house: House, name: str) -> None:
    """openai-java sends streams so, Guzzle strings, requests `(None, bytes)`."""
    image, mask = png(400, seed=len(name)), file_of(mask_with_hole(400))
    assert len(image) > 256 * 1024  # more than a text may have

    answer = order(house, *FIELDS, (name, image, None, None), ("mask", mask, None, "image/png"))

    assert answer.status_code == 200, answer.text
    [entry] = house.journal_of_input(image)
    assert [each["sha256"] for each in entry["inputs"]] == [digest_of(image), digest_of(mask)]


def test_an_empty_part_without_a_file_name_is_absent(house: House) -> None:
    image = png(seed=91)

    answer = order(house, *FIELDS, file("image", image), text("mask", ""), text("markup", ""))

    assert answer.status_code == 200, answer.text
    [entry] = house.journal_of_input(image)
    assert len(entry["inputs"]) == 1
