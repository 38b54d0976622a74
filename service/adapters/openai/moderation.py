"""Judge prompts by the provider's moderation endpoint or by an operator's own list.

Failure behaviour of the endpoint: open, since the image model judges the prompt too.
"""

import asyncio
import logging
import re
import time
from collections.abc import Mapping, Sequence

import aiohttp
import httpx
import orjson

from service.adapters.openai.address import BackendAddress
from service.adapters.openai.dialects.registry import open_dialect
from service.adapters.openai.reception import Bounds, read_body
from service.domain.failures import Billing, CallFailure, FailureKind

_TIMEOUT_S = 5.0
_BOUNDS = Bounds(1024 * 1024, 50_000)
_CATEGORY = re.compile(r"[a-z][a-z/_-]{0,49}")
_MESSAGE = (
    "Your request was rejected as a result of our safety system. "
    "Your prompt may contain text that is not allowed by our safety system."
)
_UNAVAILABLE = (TimeoutError, httpx.HTTPError, aiohttp.ClientError, ValueError, LookupError, TypeError)
_log = logging.getLogger(__name__)


class ListModerator:
    """Implements `ports.provider.Moderator`; refuses prompts that contain one of *words* in any case."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = [word.casefold() for word in words]

    async def judge(self, prompt: str, *, deadline_s: float) -> CallFailure | None:
        text = prompt.casefold()
        return _refusal(()) if any(word in text for word in self._words) else None


class ProviderModerator:
    """Implements `ports.provider.Moderator` with `POST /moderations`; Azure has none."""

    def __init__(self, address: BackendAddress, transport: httpx.AsyncBaseTransport) -> None:
        dialect = open_dialect(address)
        self._transport = transport
        self._url = dialect.url_of("moderations")
        self._headers = {**dialect.headers, "content-type": "application/json"}

    async def judge(self, prompt: str, *, deadline_s: float) -> CallFailure | None:
        try:
            async with asyncio.timeout(min(_TIMEOUT_S, max(0.0, deadline_s - time.monotonic()))):
                result = await self._ask(prompt)
        except _UNAVAILABLE as error:
            _log.warning("moderation unavailable", extra={"reason": _reason_of(error)})
            return None
        if not isinstance(result, Mapping) or not result.get("flagged"):
            return None
        categories = result.get("categories")
        hits = categories.items() if isinstance(categories, Mapping) else ()
        return _refusal(tuple(name for name, hit in hits if hit and _CATEGORY.fullmatch(name)))

    async def _ask(self, prompt: str) -> object:
        """Return the first result; raises one of `_UNAVAILABLE`."""
        request = httpx.Request(
            "POST", self._url, headers=self._headers, content=orjson.dumps({"input": prompt})
        )
        response = await self._transport.handle_async_request(request)
        try:
            response.raise_for_status()
            body = await read_body(response, _BOUNDS)
        finally:
            await response.aclose()
        return orjson.loads(body or b"")["results"][0]


def _reason_of(error: Exception) -> str:
    """Describe the failure without quoting the answer."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"answered {error.response.status_code}"
    return type(error).__name__


def _refusal(categories: tuple[str, ...]) -> CallFailure:
    return CallFailure(
        kind=FailureKind.REFUSED,
        billing=Billing.NOT_BILLED,
        message=_MESSAGE,
        status=400,
        code="moderation_blocked",
        type="image_generation_user_error",
        details={"moderation_details": {"moderation_stage": "input", "categories": list(categories)}},
    )
