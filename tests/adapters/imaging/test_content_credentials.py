"""Embedded content credentials are found, and nothing else is taken for them."""

import io
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.adapters.imaging.content_credentials import has_credentials
from service.adapters.imaging.segments import MOST_SEGMENTS

STORE = (
    b"\x00\x00\x00\x2ejumb\x00\x00\x00\x26jumd"
    b"c2pa" + bytes.fromhex("00110010800000aa00389b71") + b"\x03c2pa\x00"
)
"""The head of a manifest store: a JUMBF box with its description."""


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(file, kind)
    return file.getvalue()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)


def with_png_chunk(kind: bytes = b"caBX", content: bytes = STORE, *, at: int = 33) -> bytes:
    """Insert a chunk; behind the header unless *at* says otherwise."""
    file = encoded("PNG")
    at = at if at >= 0 else len(file) + at
    return file[:at] + png_chunk(kind, content) + file[at:]


def with_jpeg_segment(marker: int = 0xEB, content: bytes = b"JP\x00\x01\x00\x00\x00\x01" + STORE) -> bytes:
    file = encoded("JPEG")
    return file[:2] + bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2) + content + file[2:]


def with_riff_chunk(kind: bytes = b"C2PA", content: bytes = STORE) -> bytes:
    file = encoded("WEBP")
    chunk = kind + len(content).to_bytes(4, "little") + content + b"\x00" * (len(content) % 2)
    body = file[8:] + chunk
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def with_gif_extension(identifier: bytes = b"C2PA_GIF\x01\x00\x00", *, is_late: bool = False) -> bytes:
    file = encoded("GIF")
    blocks = b"".join(bytes((len(STORE[i : i + 9]),)) + STORE[i : i + 9] for i in range(0, len(STORE), 9))
    extension = b"\x21\xff\x0b" + identifier + blocks + b"\x00"
    place = len(file) - 1 if is_late else 13 + 3 * 2 ** (file[10] % 8 + 1)
    return b"GIF89a" + file[6:place] + extension + file[place:]


def svg(metadata: str, *, before: str = "") -> bytes:
    return (
        '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="8" height="8">'
        f"{before}<metadata>{metadata}</metadata><rect/></svg>"
    ).encode()


MANIFEST = '<c2pa:manifest xmlns:c2pa="http://c2pa.org/manifest">AAAA</c2pa:manifest>'


@pytest.mark.parametrize(
    "make",
    [
        with_png_chunk,
        lambda: with_png_chunk(at=-12),
        with_jpeg_segment,
        with_riff_chunk,
        lambda: with_riff_chunk(content=STORE + b"x"),
        with_gif_extension,
        lambda: svg(MANIFEST),
        lambda: svg(f"<!-- {MANIFEST} --><a/>\n{MANIFEST}"),
        lambda: svg("<c2pa:manifest\n>AAAA</c2pa:manifest>"),
    ],
)
def test_credentials_are_found(make: Callable[[], bytes]) -> None:
    assert has_credentials(make())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_plain_image_has_no_credentials(kind: str) -> None:
    assert not has_credentials(encoded(kind))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_files_with_credentials_are_still_images(kind: str) -> None:
    """Or the tests above would show nothing."""
    file = {"PNG": with_png_chunk(), "JPEG": with_jpeg_segment(), "GIF": with_gif_extension()}[kind]

    with Image.open(io.BytesIO(file)) as image:
        image.load()
        assert (image.format, image.size) == (kind, (8, 8))


@pytest.mark.parametrize(
    "make",
    [
        lambda: with_png_chunk(b"tEXt", b"comment\x00caBX" + STORE),
        lambda: with_png_chunk(content=b""),
        lambda: encoded("PNG") + png_chunk(b"caBX", STORE),
        lambda: with_jpeg_segment(0xE1),
        lambda: with_jpeg_segment(0xFE),
        lambda: with_jpeg_segment(content=b"XX\x00\x01\x00\x00\x00\x01" + STORE),
        lambda: with_jpeg_segment(content=b"JP\x00\x01\x00\x00\x00\x01" + STORE.replace(b"c2pa", b"xmp_")),
        lambda: with_jpeg_segment(content=b"JP"),
        lambda: encoded("JPEG") + with_jpeg_segment()[2:],
        lambda: with_riff_chunk(b"XMP ", b"C2PA" + STORE),
        lambda: with_riff_chunk(content=b""),
        lambda: with_gif_extension(b"XMP DataXMP"),
        lambda: with_gif_extension(is_late=True),
        lambda: svg(f"<!-- {MANIFEST} -->"),
        lambda: svg(f"<![CDATA[{MANIFEST}]]>"),
        lambda: svg("<title/>", before=MANIFEST),
        lambda: svg("<a>c2pa:manifest</a>"),
        lambda: svg("<c2pa:manifesto/>"),
        lambda: svg("<!-- never closed").removesuffix(b"</metadata><rect/></svg>"),
    ],
)
def test_lookalikes_are_not_credentials(make: Callable[[], bytes]) -> None:
    assert not has_credentials(make())


@pytest.mark.parametrize("make", [with_png_chunk, with_jpeg_segment, with_riff_chunk, with_gif_extension])
def test_a_file_cut_off_anywhere_raises_nothing(make: Callable[[], bytes]) -> None:
    file = make()

    assert all(has_credentials(file[:end]) is not None for end in range(len(file)))


HEADS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"RIFF\x00\x00\x00\x00WEBP", b"GIF89a", b"<svg>", b"")


@given(st.sampled_from(HEADS), st.binary(max_size=200))
def test_no_bytes_are_a_fault(head: bytes, rest: bytes) -> None:
    assert has_credentials(head + rest) is not None


@pytest.mark.parametrize("piece", [b"<!--", b"<", b"<a", b"<![CDATA["])
def test_a_hostile_drawing_is_walked_through_once(piece: bytes) -> None:
    """Unclosed things must not be looked for again and again: this would take minutes."""
    assert has_credentials(b"<svg>" + piece * 500_000) is not True


GIF_PALETTE_END = 13 + 3 * 2 ** (encoded("GIF")[10] % 8 + 1)
PADDING = {
    "PNG": (33, png_chunk(b"prVt", b"")),
    "JPEG": (2, b"\xff\xfe\x00\x02"),
    "WEBP": (12, b"prVt\x00\x00\x00\x00"),
    "GIF": (GIF_PALETTE_END, b"\x21\xfe\x00"),
}
"""The position of meaningless segments in a file, and one such segment."""


def padded(file: bytes, kind: str, count: int) -> bytes:
    place, piece = PADDING[kind]
    return file[:place] + piece * count + file[place:]


MAKERS: dict[str, Callable[[], bytes]] = {
    "PNG": with_png_chunk,
    "JPEG": with_jpeg_segment,
    "WEBP": with_riff_chunk,
    "GIF": with_gif_extension,
}


@pytest.mark.parametrize("kind", PADDING)
def test_credentials_of_a_crowded_file_are_unknown(kind: str) -> None:
    """Walking through the millions of segments that 64 MB can hold would stop the loop for seconds."""
    assert has_credentials(padded(MAKERS[kind](), kind, MOST_SEGMENTS - 100)) is True
    assert has_credentials(padded(encoded(kind), kind, MOST_SEGMENTS - 100)) is False
    assert has_credentials(padded(MAKERS[kind](), kind, MOST_SEGMENTS + 1)) is None
    assert has_credentials(padded(encoded(kind), kind, MOST_SEGMENTS + 1)) is None


@pytest.mark.parametrize("kind", PADDING)
def test_credentials_before_too_many_segments_are_found(kind: str) -> None:
    file = MAKERS[kind]()
    if kind == "WEBP":  # its credentials come last
        body = file[12:] + PADDING[kind][1] * (MOST_SEGMENTS + 1)
        assert has_credentials(file[:12] + body) is True
        return
    place, piece = PADDING[kind]
    store_end = place + len(file) - len(encoded(kind))

    assert has_credentials(file[:store_end] + piece * (MOST_SEGMENTS + 1) + file[store_end:]) is True


@pytest.mark.parametrize("padding", ["<a/>" * (MOST_SEGMENTS + 1), f"<!--{'x' * 5_000_000}-->"])
def test_credentials_of_a_crowded_drawing_are_unknown(padding: str) -> None:
    assert has_credentials(svg(MANIFEST, before=padding)) is None
    assert has_credentials(svg("", before=padding)) is None
    assert has_credentials(svg(MANIFEST) + padding.encode()) is True


@pytest.mark.parametrize("blocks", [b"\x01x", b"\xff" + b"x" * 255])
def test_the_blocks_of_an_extension_count_as_segments(blocks: bytes) -> None:
    file = encoded("GIF")
    extension = b"\x21\xfe" + blocks * (MOST_SEGMENTS + 1) + b"\x00"

    assert has_credentials(file[:GIF_PALETTE_END] + extension + file[GIF_PALETTE_END:]) is None


@pytest.mark.parametrize(
    "between",
    [b"\xff", b"\xff\xff\xff", b"\xff\x01", b"\xff\xd0", b"\xff\xd7\xff\x01", b"\x00", b"\xff\x00", b"\r\n"],
)
def test_bytes_between_the_segments_of_a_jpeg_hide_no_credentials(between: bytes) -> None:
    """Fill bytes, markers without a length, and bytes that decoders skip."""
    file = with_jpeg_segment()

    assert has_credentials(file[:2] + between + file[2:])
    assert not has_credentials(encoded("JPEG")[:2] + between + encoded("JPEG")[2:])
