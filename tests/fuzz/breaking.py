"""Break requests in their line, headers, framing, form, JSON or anywhere.

The same seed makes the same requests. Each order has a prompt of its own, by which a test finds what was made of it.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.fuzz.requests import BOUNDARY, Parts, write_parts

_JUNK = (
    b"\x00",
    b"\r",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b"\x7f",
    b"\x80",
    b"\xff\xfe",
    b":",
    b";",
    b'"',
    b"%",
    b"\x1b[0m",
)
_LENGTHS = (
    b"-1",
    b"+5",
    b"0x10",
    b"1e3",
    b"",
    b" ",
    b"5, 5",
    b"99999999999999999999",
    b"4294967296",
    b"\xc2\xb2",
    b"1_0",
)
_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 11, 1.5, 1e308, 10**30, "", " ", "1", "nul\x00", "\ud800", "é" * 40, "x" * 40_000),
    *([], [1], [[]], {}, {"a": 1}, {"image_url": 5}, "auto", "9x9", "data:image/png;base64,!!!!"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A request as it goes over the wire; *prompt* is of its order, and nothing may come of one that is *cut*."""

    kind: str
    wire: bytes
    prompt: str
    is_cut: bool = False


def write_cases(count: int, *, seed: int, key: str) -> list[Case]:
    """Return *count* requests of every kind; an eighth of them are as they should be."""
    chance = random.Random(seed)
    # Far from each other, so that none becomes another's when a byte is lost.
    return [_write_case(chance, f"{chance.getrandbits(64):016x}", key) for _ in range(count)]


def _write_case(chance: random.Random, prompt: str, key: str) -> Case:
    kind = chance.choice(list(_BREAKERS))
    wire = _BREAKERS[kind](chance, write_parts(chance, prompt, key))
    return Case(kind, wire, prompt, is_cut=kind == "cut")


def _break_line(chance: random.Random, parts: Parts) -> bytes:
    """Break the request line."""
    odd = (b"", b"G ET", b"get", b"\x00", b"POST" * 50, b"TRACE", b"CONNECT", b"\xff")
    targets = (
        b"",
        b"*",
        b"http://other/v1/models",
        b"/" + b"a" * 9000,
        b"/%00",
        b"/\xff",
        b"//",
        b"/a b",
        b"/v1/../admin/keys",
    )
    line = chance.choice(
        (b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.1 ", b"http/1.1", b"", b"HTTP/9.9.9")
    )
    pick = chance.randrange(3)
    if pick == 0:
        parts.method = chance.choice(odd)
    elif pick == 1:
        parts.target = chance.choice(targets)
    wire = parts.wire()
    return wire.replace(b"HTTP/1.1", line, 1) if pick == 2 else wire


def _break_header(chance: random.Random, parts: Parts) -> bytes:
    """Add headers that are odd, too many or too long, or put junk into one."""
    odd = (
        [(b"Content-Length", chance.choice(_LENGTHS))],
        [
            (
                b"Transfer-Encoding",
                chance.choice(
                    (b"chunked", b"identity", b"gzip, chunked", b"chunked, chunked", b"\x0bchunked")
                ),
            )
        ],
        [(b"Host", b"other")],
        [(b"X-Long", b"a" * chance.choice((8_000, 40_000, 70_000)))],
        [(b"X-%d" % number, b"1") for number in range(chance.choice((90, 300)))],
        [(chance.choice((b"", b" ", b"a b", b"\x00", b"\xff", b"(x)")), b"1")],
        [(b"X-Junk", b"a" + chance.choice(_JUNK) + b"b")],
        [(b"X-Folded", b"a\r\n b")],
        [(b"Expect", b"100-continue"), (b"Connection", b"Upgrade, close"), (b"Upgrade", b"h2c")],
        [
            (
                b"Content-Type",
                chance.choice(
                    (b"", b"text/plain", b"application/json; charset=utf-16", b"multipart/form-data")
                ),
            )
        ],
        [(b"Content-Encoding", chance.choice((b"gzip", b"br", b"zstd", b"identity", b"x")))],
        [(b"Idempotency-Key", chance.choice((b"", b"a" * 300, b"\xe9", b"k")))],
        [(b"X-Request-Timeout-S", chance.choice((b"", b"nan", b"-1", b"inf", b"1_0", b"\xd9\xa3")))],
        [(b"Range", chance.choice((b"bytes=", b"bytes=9-1", b"bytes=" + b"0-1," * 500, b"lines=1")))],
        [
            (
                b"Authorization",
                chance.choice((b"", b"Bearer", b"Bearer \xff", b"Basic QQ==", b"Bearer " + b"a" * 9000)),
            )
        ],
    )
    added = chance.choice(odd)
    parts.headers = [*added, *parts.headers] if chance.random() < 0.5 else [*parts.headers, *added]
    return parts.wire()


def _break_chunks(chance: random.Random, parts: Parts) -> bytes:
    """Send the body in chunks with a wrong size, end or trailer."""
    parts.is_chunked = True
    wire = parts.wire()
    head, _, body = wire.partition(b"\r\n\r\n")
    size, _, rest = body.partition(b"\r\n")
    broken = chance.choice(
        (
            chance.choice(
                (
                    b"-5",
                    b"0x5",
                    b"g",
                    b"",
                    b"ffffffffffffffffff",
                    b"%x " % (len(rest) * 2),
                    size + b";a=" + b"b" * 9000,
                )
            )
            + b"\r\n"
            + rest,
            size + b"\n" + rest,
            body.replace(b"\r\n0\r\n", b"0\r\n"),
            body[:-2]
            + chance.choice(
                (b"X: y\r\n\r\n", b"Content-Length: 5\r\n\r\n", b"\x00\r\n\r\n", b"a" * 40_000 + b"\r\n\r\n")
            ),
            body.removesuffix(b"\r\n\r\n"),
        )
    )
    return head + b"\r\n\r\n" + broken


def _break_form(chance: random.Random, parts: Parts) -> bytes:
    """Break the parts of a form, or send one where none belongs."""
    ours = b"--" + BOUNDARY
    body = parts.body
    broken = (
        lambda: body.replace(b"\r\n", b"\n"),
        lambda: body.replace(ours + b"--", ours),
        lambda: body.replace(b'name="', chance.choice((b'nome="', b"name=", b'name="a[', b'name="\x00', b'name=""; x="')), 1),
        lambda: body.replace(b"form-data", chance.choice((b"attachment", b"", b"form-data; name*=utf-8''a")), 1),
        lambda: body.replace(b"\r\n\r\n", b"\r\nX-Part: " + b"a" * chance.choice((100, 20_000)) + b"\r\n\r\n", 1),
        lambda: body.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n"),
        lambda: body.replace(ours, ours + b'\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nagain\r\n' + ours, 1),
        lambda: (ours + b'\r\nContent-Disposition: form-data; name="n"\r\n\r\n1\r\n') * chance.choice((2, 300)) + body,
        lambda: b"preamble\r\n" * 50 + body,
        lambda: body + b"epilogue" * 50,
        lambda: _flip(chance, body),
    )  # fmt: skip
    parts.body = chance.choice(broken)()
    if chance.random() < 0.1:
        kinds = (
            b'multipart/form-data; boundary=""',
            b"multipart/form-data; boundary=" + b"b" * 200,
            b"multipart/mixed",
        )
        parts.headers = [(b"Content-Type", chance.choice(kinds)), *parts.headers[:-1]]
    return parts.wire()


def _break_json(chance: random.Random, parts: Parts) -> bytes:
    """Put an odd value into a field, or break the text."""
    text = parts.body
    if text.startswith(b"{"):
        fields = json.loads(text)
        name = chance.choice(
            [
                *fields,
                "n",
                "user",
                "stream",
                "response_format",
                "svg",
                "expires_at",
                "partial_images",
                "colour",
            ]
        )
        odd = json.dumps({**fields, name: chance.choice(_VALUES)}).encode()
        deep = chance.choice((50, 5_000, 100_000))
        whole = (
            *(odd,) * 6,
            text[:-1] + b',"n":NaN}',
            text[:-1] + b',"n":' + b"9" * 5_000 + b"}",
            text[:-1] + b',"prompt":"twice"}',
            b"\xef\xbb\xbf" + text,
            text.decode().encode("utf-16"),
            b"[" * deep + b"]" * deep,
            b'{"prompt":' * deep + b"1" + b"}" * deep,
            text + text,
            b"",
            b"null",
            _flip(chance, text),
        )
        parts.body = chance.choice(whole)
    parts.is_chunked = chance.random() < 0.2
    return parts.wire()


def _flip_bytes(chance: random.Random, parts: Parts) -> bytes:
    """Change some bytes anywhere."""
    return _flip(chance, parts.wire())


def _cut(chance: random.Random, parts: Parts) -> bytes:
    """End before the end."""
    wire = parts.wire()
    return wire[: chance.randrange(1, len(wire) - 1)]


_BREAKERS: dict[str, Callable[[random.Random, Parts], bytes]] = {
    "good": lambda _, parts: parts.wire(),
    "line": _break_line,
    "header": _break_header,
    "chunks": _break_chunks,
    "form": _break_form,
    "json": _break_json,
    "bytes": _flip_bytes,
    "cut": _cut,
}


def _flip(chance: random.Random, text: bytes) -> bytes:
    changed = bytearray(text or b" ")
    for _ in range(chance.choice((1, 1, 3, 20))):
        at = chance.randrange(len(changed))
        changed[at : at + chance.choice((0, 1, 1, 8))] = chance.choice(
            (*_JUNK, b"", b"0", bytes([chance.randrange(256)]))
        )
        changed = changed or bytearray(b" ")
    return bytes(changed)
