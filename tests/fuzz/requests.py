"""Write good requests byte by byte, ready to be broken."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.http.house import png

HOST = b"gateway"
BOUNDARY = b"fuzz-boundary"
_ORDER_ROUTES = (b"/v1/images/generations", b"/v1/images/generations/stream", b"/generate_image")
_FORM_ROUTES = (
    b"/v1/images/edits",
    b"/v1/images/variations",
    b"/v1/images/edits/stream",
    b"/v1/images/variations/stream",
)
_ADMIN_BODIES: tuple[tuple[bytes, bytes, dict[str, Any]], ...] = (
    (b"POST", b"/admin/keys", {"team": "fuzzed", "user": "anna"}),
    (b"PUT", b"/admin/teams/fuzzed", {"closed": False}),
    (b"PUT", b"/admin/policies/fuzzed", {"images_per_min": 5, "models": []}),
)
_IMAGE = png(16, mode="RGBA")


@dataclass(slots=True)
class Parts:
    """A request before it is written."""

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    is_chunked: bool = False

    def wire(self) -> bytes:
        """Write it."""
        lines = [self.method + b" " + self.target + b" HTTP/1.1"]
        length = (
            (b"Transfer-Encoding", b"chunked")
            if self.is_chunked
            else (b"Content-Length", b"%d" % len(self.body))
        )
        lines += [name + b": " + value for name, value in (*self.headers, length)]
        body = _chunks(self.body) if self.is_chunked else self.body
        return b"\r\n".join(lines) + b"\r\n\r\n" + body


def write_parts(chance: random.Random, prompt: str, key: str) -> Parts:
    """Return a request of any kind; an order has this *prompt*."""
    parts = chance.choice((_order, _order, _form, _form, _admin, _read))(chance, prompt)
    parts.headers = [(b"Host", HOST), (b"Authorization", b"Bearer " + key.encode()), *parts.headers]
    return parts


def _order(chance: random.Random, prompt: str) -> Parts:
    order: dict[str, Any] = {"prompt": prompt, "model": "dall-e-2", "size": "256x256"}
    if (target := chance.choice(_ORDER_ROUTES)) == b"/generate_image":
        order = {"prompt": prompt}
    return _json_parts(b"POST", target, order)


def _admin(chance: random.Random, _: str) -> Parts:
    return _json_parts(*chance.choice(_ADMIN_BODIES))


def _json_parts(method: bytes, target: bytes, body: dict[str, Any]) -> Parts:
    return Parts(method, target, [(b"Content-Type", b"application/json")], json.dumps(body).encode())


def _form(chance: random.Random, prompt: str) -> Parts:
    target = chance.choice(_FORM_ROUTES)
    fields = [
        ("model", b"dall-e-2", b""),
        ("size", b"256x256", b""),
        ("image", _IMAGE, b'; filename="a.png"'),
    ]
    if target != b"/v1/images/variations":
        fields.append(("prompt", prompt.encode(), b""))
    pieces = [
        b'--%s\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
        % (BOUNDARY, name.encode(), more, value)
        for name, value, more in fields
    ]
    kind = (b"Content-Type", b"multipart/form-data; boundary=" + BOUNDARY)
    return Parts(b"POST", target, [kind], b"".join(pieces) + b"--" + BOUNDARY + b"--\r\n")


def _read(chance: random.Random, _: str) -> Parts:
    target = chance.choice(
        (b"/v1/models", b"/v1/usage", b"/admin/usage", b"/livez", b"/v1/images/files/x?t=a&exp=0&sig=b")
    )
    return Parts(b"GET", target, [], b"")


def _chunks(body: bytes, sizes: Sequence[int] = (7, 400, 1 << 16)) -> bytes:
    pieces, at = [], 0
    for size in (*sizes, *(1 << 16,) * (len(body) >> 16)):
        if piece := body[at : at + size]:
            pieces.append(b"%x\r\n%s\r\n" % (len(piece), piece))
        at += size
    return b"".join(pieces) + b"0\r\n\r\n"
