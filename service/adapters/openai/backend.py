"""Call a backend that speaks the OpenAI Images API over HTTP.

httpx requests go directly to the aiohttp transport: httpx's client costs more CPU than the whole
exchange (docs/performance.md). Images returned as URLs are fetched within the call, since such URLs
expire. An image that cannot be fetched may be billed: it is charged to no team, and never ordered again
automatically.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import aiohttp
import httpx

from service.adapters.openai import failures, json_edits, wire
from service.adapters.openai.reception import Reception
from service.adapters.openai.redaction import conceals, hide_secrets
from service.adapters.openai.stream import read_stream
from service.adapters.openai.troubleshooting import explain
from service.domain.failures import CallFailure
from service.domain.images import CallMade, ImageCall, InputImage, Operation, RawImage, Realm
from service.ports.provider import CallProgress, DownloadFailed, Downloads

_MAX_ANSWER_BYTES_PER_IMAGE = 64 * 1024 * 1024
"""More than the base64 of the largest image that a model makes (8.3 megapixels of raw RGBA)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendAddress:
    """The base URL of a backend, such as `https://api.openai.com/v1`, and the gateway's credentials there."""

    name: str
    realm: Realm
    url: str
    api_key: str
    organization: str | None = None
    project: str | None = None

    @property
    def secrets(self) -> list[str]:
        """The values that no log may contain."""
        return [each for each in (self.api_key, self.organization, self.project) if each]

    @property
    def headers(self) -> dict[str, str]:
        """The headers that authenticate the gateway."""
        headers = {
            "authorization": f"Bearer {self.api_key}",
            "accept": "application/json",
            # Images do not compress, and a compressed answer could be a bomb.
            "accept-encoding": "identity",
            "user-agent": "image-gateway",
        }
        if self.organization:
            headers["openai-organization"] = self.organization
        if self.project:
            headers["openai-project"] = self.project
        return headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds to wait for a pooled connection, to connect, and between two reads."""

    pool_s: float = 10.0
    connect_s: float = 5.0
    read_s: float = 300.0


class OpenAIBackend:
    """Implements `ports.provider.Backend`."""

    def __init__(
        self,
        address: BackendAddress,
        *,
        transport: httpx.AsyncBaseTransport,
        timeouts: Timeouts,
        downloads: Downloads,
    ) -> None:
        self.name = address.name
        self.realm = address.realm
        self._transport = transport
        self._downloads = downloads
        self._reception = Reception()
        self._download_s = timeouts.read_s
        self._address = address
        base = address.url.rstrip("/")
        self._urls = {
            Operation.GENERATE: httpx.URL(f"{base}/images/generations"),
            Operation.EDIT: httpx.URL(f"{base}/images/edits"),
            Operation.VARY: httpx.URL(f"{base}/images/variations"),
        }
        self._headers = address.headers
        self._extensions = {
            "timeout": {"pool": timeouts.pool_s, "connect": timeouts.connect_s, "read": timeouts.read_s}
        }

    async def make(self, call: ImageCall, progress: CallProgress) -> CallMade | CallFailure:
        with ExitStack() as files:
            request = self._request(call, files)
            progress.sending()
            try:
                result = await self._exchange(request, call, progress)
            except (httpx.HTTPError, aiohttp.ClientError) as error:
                result = failures.classify_exception(error)
        if isinstance(result, CallMade):
            return _without_secrets(result, call, self._address.secrets)
        return explain(result, self._address.url, secrets=self._address.secrets, prompt=call.prompt)

    def _request(self, call: ImageCall, files: ExitStack) -> httpx.Request:
        url = self._urls[call.operation]
        if call.inputs and "moderation" not in call.parameters:
            parts = [
                (
                    _field(entry, call),
                    (f"{entry.role}.{entry.format}", _open(entry, files), f"image/{entry.format}"),
                )
                for entry in call.inputs
            ]
            return httpx.Request(
                "POST",
                url,
                headers=self._headers,
                data=wire.encode_form(call),
                files=parts,
                extensions=self._extensions,
            )
        headers = {**self._headers, "content-type": "application/json"}
        body: bytes | AsyncIterator[bytes]
        if call.inputs:
            pieces = [
                part if isinstance(part, bytes) else _open(part, files)
                for part in wire.encode_json_edit(call)
            ]
            headers["content-length"] = str(json_edits.length_of(pieces))
            body = json_edits.read_pieces(pieces)
        else:
            body = wire.encode_generation(call)
        return httpx.Request("POST", url, headers=headers, content=body, extensions=self._extensions)

    async def _exchange(
        self, request: httpx.Request, call: ImageCall, progress: CallProgress
    ) -> CallMade | CallFailure:
        limit_bytes = call.n * (1 + call.partial_images) * _MAX_ANSWER_BYTES_PER_IMAGE
        response = await self._transport.handle_async_request(request)
        try:
            if response.headers.get("content-type", "").startswith("text/event-stream"):
                return await read_stream(response, progress, n=call.n, limit_bytes=limit_bytes)
            body = await self._reception.read(response, limit_bytes)
        finally:
            await response.aclose()
        if body is None:
            return failures.broken("The image provider's answer is larger than any image it could hold.")
        if response.status_code != httpx.codes.OK:
            return failures.classify_answer(response.status_code, response.headers, wire.decode_json(body))
        try:
            made = wire.decode_answer(body)
        except wire.NotUnderstood:
            return failures.broken("The image provider's answer cannot be understood.", status=200)
        return made if all(image.url is None for image in made.images) else await self._download(made)

    async def _download(self, made: CallMade) -> CallMade | CallFailure:
        """Fetch images that came as URLs, concurrently; failed ones are missing from the answer."""
        async with asyncio.TaskGroup() as group:
            fetches = [group.create_task(self._fetch(image)) for image in made.images]
        fetched = [fetch.result() for fetch in fetches]
        images = tuple(image for image in fetched if isinstance(image, RawImage))
        failed = [image for image in fetched if isinstance(image, CallFailure)]
        return replace(made, images=images) if images else failed[0]

    async def _fetch(self, image: RawImage) -> RawImage | CallFailure:
        if image.url is None:
            return image
        try:
            data = await self._downloads.fetch(image.url, deadline_s=time.monotonic() + self._download_s)
        except DownloadFailed as error:
            return failures.broken(str(error), status=200)
        return replace(image, data=data, url=None)


def _without_secrets(made: CallMade, call: ImageCall, secrets: Sequence[str]) -> CallMade:
    """Return *made* without a secret in the texts that are kept and shown, whatever a provider echoes.

    The name of a model may also not repeat the prompt; the asked one, before a date or another ending, does not.
    """
    model = made.answered_model
    ending = (model or "").removeprefix(call.model)
    if ending and conceals(ending, secrets=secrets, prompt=call.prompt):
        model = wire.OTHER
    images = tuple(
        replace(image, revised_prompt=image.revised_prompt and hide_secrets(image.revised_prompt, secrets))
        for image in made.images
    )
    return replace(made, answered_model=model, images=images)


def _open(entry: InputImage, files: ExitStack) -> BinaryIO:
    """Open an input for one call: several calls may read it at once."""
    return files.enter_context(Path(entry.path).open("rb"))


def _field(entry: InputImage, call: ImageCall) -> str:
    """Return the form field of an input; several images are a list, as the SDKs send them."""
    several = sum(other.role == "image" for other in call.inputs) > 1
    return "image[]" if entry.role == "image" and several else entry.role
