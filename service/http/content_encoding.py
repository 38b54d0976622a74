"""Decode the bodies of requests: gzip, in bounded pieces, or none.

A gzip bomb expands a thousandfold. Its pieces are handed out one by one, so that limits and budgets of bytes count
them decoded, and no body may expand further than JSON and files do.
"""

import zlib
from collections.abc import Iterator

from starlette.requests import Request

from service.domain.errors import InvalidOrder
from service.http.errors import Problem, RequestRejected

MOST_PIECE_BYTES = 64 * 1024
"""Decoded in a fraction of a millisecond; then other tasks have their turn."""
FREE_BYTES = 1024 * 1024
"""Decoded bytes that any body may have: a prompt may consist of one word."""
MOST_RATIO = 20
"""Decoded bytes for each received one, beyond that. Base64 has 1.33, text about 5."""

_GZIP = zlib.MAX_WBITS | 16


def decoder_for(request: Request) -> "Gzip | None":
    """Return the decoder of an encoded body, None for a plain one; raises `RequestRejected` for an unknown encoding."""
    given = ", ".join(request.headers.getlist("content-encoding")).strip().lower()
    if given in {"", "identity"}:
        return None
    if given in {"gzip", "x-gzip"}:
        return Gzip()
    # RFC 9110, 15.5.16: the header tells an encoding from a type.
    raise RequestRejected(
        Problem(
            415,
            f"Content-Encoding '{given[:100]}' is not understood: send gzip, or a body without encoding.",
            code="unsupported_content_encoding",
            headers={"accept-encoding": "gzip, identity"},
        )
    )


class Gzip:
    """Decodes one body."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(_GZIP)
        self._received_bytes = 0
        self._decoded_bytes = 0

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield the content of the next part of the body; raises `InvalidOrder`."""
        self._received_bytes += len(data)
        while data:
            try:
                piece = self._inflater.decompress(data, MOST_PIECE_BYTES)
            except zlib.error as error:
                raise _broken("is no gzip") from error
            self._decoded_bytes += len(piece)
            if self._decoded_bytes > FREE_BYTES + MOST_RATIO * self._received_bytes:
                raise _broken(f"expands to more than {MOST_RATIO} times its size")
            if self._inflater.unused_data:
                raise _broken("has bytes behind the end of its gzip")
            if piece:
                yield piece
            data = self._inflater.unconsumed_tail

    def check_complete(self) -> None:
        """Check that the body has ended; raises `InvalidOrder`."""
        if self._received_bytes and not self._inflater.eof:
            raise _broken("is incomplete gzip")


def _broken(fault: str) -> InvalidOrder:
    return InvalidOrder(
        f"The body of the request {fault}; Content-Encoding says gzip.",
        param=None,
        code="invalid_content_encoding",
    )
