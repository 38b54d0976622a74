"""Have nginx in front send stored images, once the gateway has checked their links.

nginx tells its key in `x-store-front`. Its answer has no content, but names the file in `x-accel-redirect`, which nginx keeps to itself
(`deploy/nginx/nginx.conf`). A client without the key gets the image from the gateway, and never this header.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from service.ports.store import LocatedFiles

LOCATION = "/stored/"
"""Place of the store's directory in nginx, which is internal."""
_KEY = "x-store-front"
_OTHER_CONDITIONS = ("if-match", "if-unmodified-since")
"""nginx obeys them without the image's tag; the gateway ignores them."""
_PLAIN_RANGE = re.compile(r"bytes=(\d{1,15}-\d{0,15}|-\d{1,15})")
"""nginx refuses other forms, or takes a part of them; the gateway sends the whole image."""


@dataclass(frozen=True, slots=True)
class StoreFront:
    """The nginx in front, which knows *key*, and finds *files* in its own view of the directory."""

    files: LocatedFiles
    key: bytes

    def sends(self, request: Request) -> bool:
        """Tell if nginx sends the answer to *request*."""
        key = request.headers.get(_KEY, "").encode("latin-1")
        return (
            hmac.compare_digest(key, self.key)
            and request.method == "GET"
            and not any(name in request.headers for name in _OTHER_CONDITIONS)
            and (
                "range" not in request.headers or _PLAIN_RANGE.fullmatch(request.headers["range"]) is not None
            )
        )

    async def answer(self, name: str, headers: Mapping[str, str], media_type: str) -> Response:
        """Return the answer that names the file; nginx chooses the range. Raises `ImageMissing` if it is damaged."""
        path = await self.files.locate(name)
        # nginx adds the field of ranges again.
        kept = {field: value for field, value in headers.items() if field != "accept-ranges"}
        return Response(headers={**kept, "x-accel-redirect": f"{LOCATION}{path}"}, media_type=media_type)
