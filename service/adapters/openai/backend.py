"""Call a backend that speaks the OpenAI Images API over HTTP.

httpx requests go directly to the aiohttp transport: httpx's client costs more CPU than the whole
exchange (docs/performance.md). Images returned as URLs are fetched within the call, since such URLs
expire. An image that cannot be fetched may be billed: it is charged to no team, and never ordered again
automatically.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import aiohttp
import httpx
import orjson

from service.adapters.openai import failures, json_edits, wire
from service.adapters.openai.address import ANY_QUALITY, BackendAddress, Timeouts
from service.adapters.openai.dialects.registry import open_dialect
from service.adapters.openai.reception import FAILURE, Reception, bounds_of
from service.adapters.openai.redaction import conceals, hide_secrets
from service.adapters.openai.stream import read_stream
from service.adapters.openai.troubleshooting import explain
from service.domain.failures import CallFailure
from service.domain.images import CallMade, ImageCall, InputImage, Operation, RawImage
from service.ports.provider import CallProgress, DownloadFailed, Downloads

_BEYOND = "The image provider's answer cannot be understood: it is larger, or has more values, than its images can need."
_PATHS = {
    Operation.GENERATE: "images/generations",
    Operation.EDIT: "images/edits",
    Operation.VARY: "images/variations",
}


class OpenAIBackend:
    """Implements `ports.provider.Backend` for one key of a backend of any kind that `dialects` has.

    The keys of a process share a *reception*.
    """

    def __init__(
        self,
        address: BackendAddress,
        *,
        transport: httpx.AsyncBaseTransport,
        timeouts: Timeouts,
        downloads: Downloads,
        reception: Reception | None = None,
    ) -> None:
        self.name = address.name
        self.realm = address.realm
        self._secrets = address.secrets
        self._transport = transport
        self._timeouts = timeouts
        self._downloads = downloads
        self._reception = reception or Reception()
        self._dialect = open_dialect(address)
        # Built once: httpx copies its own headers faster than it reads others.
        self._headers = httpx.Headers(self._dialect.headers)
        self._json_headers = httpx.Headers({**self._dialect.headers, "content-type": "application/json"})
        self._urls: dict[tuple[Operation, str], httpx.URL] = {}

    async def make(self, call: ImageCall, progress: CallProgress) -> CallMade | CallFailure:
        limit_s = self._limit_s(call)
        until_s = None if limit_s is None else asyncio.get_running_loop().time() + limit_s
        with ExitStack() as files:
            request = self._request(call, files, limit_s)
            progress.sending()
            try:
                result = await self._exchange(request, call, progress, until_s)
            except (httpx.HTTPError, aiohttp.ClientError) as error:
                result = failures.classify_exception(error)
            except TimeoutError:
                result = failures.UNANSWERED
        if isinstance(result, CallMade):
            return self._clean(result, call)
        return explain(result, self._dialect, prompt=call.prompt)

    def _limit_s(self, call: ImageCall) -> float | None:
        """Return the longest time of *call*, if it has one."""
        limits_s = self._timeouts.call_s
        return limits_s.get(str(call.parameters.get("quality")), limits_s.get(ANY_QUALITY))

    def _request(self, call: ImageCall, files: ExitStack, limit_s: float | None) -> httpx.Request:
        url = self._url_of(call)
        fields = self._dialect.fields_of(call)
        extensions = {
            "timeout": {
                "pool": self._timeouts.pool_s,
                "connect": self._timeouts.connect_s,
                "read": limit_s or self._timeouts.read_s,
            }
        }
        if call.inputs and not ("moderation" in fields and self._dialect.takes_json_edits):
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
                data=wire.encode_form(fields),
                files=parts,
                extensions=extensions,
            )
        headers = self._json_headers
        body: bytes | AsyncIterator[bytes]
        if call.inputs:
            pieces = [
                part if isinstance(part, bytes) else _open(part, files)
                for part in wire.encode_json_edit(fields, call.inputs)
            ]
            headers = httpx.Headers(headers)
            headers["content-length"] = str(json_edits.length_of(pieces))
            body = json_edits.read_pieces(pieces)
        else:
            body = orjson.dumps(fields)
        return httpx.Request("POST", url, headers=headers, content=body, extensions=extensions)

    def _url_of(self, call: ImageCall) -> httpx.URL:
        key = (call.operation, call.model)
        if key not in self._urls:
            self._urls[key] = self._dialect.url_of(_PATHS[call.operation], call.model)
        return self._urls[key]

    async def _exchange(
        self, request: httpx.Request, call: ImageCall, progress: CallProgress, until_s: float | None
    ) -> CallMade | CallFailure:
        """Send the call and read its answer; raises TimeoutError at *until_s*, an instant of the loop's clock."""
        async with asyncio.timeout_at(until_s):
            response = await self._transport.handle_async_request(request)
        is_ok = response.status_code == httpx.codes.OK
        bounds = bounds_of(call.n * (1 + call.partial_images)) if is_ok else FAILURE
        try:
            if is_ok and response.headers.get("content-type", "").startswith("text/event-stream"):
                return await read_stream(response, progress, n=call.n, bounds=bounds, until_s=until_s)
            async with asyncio.timeout_at(until_s):
                body = await self._reception.read(response, bounds)
        finally:
            await response.aclose()
        if not is_ok:
            return self._dialect.read_failure(response.status_code, response.headers, body or b"")
        if body is None:
            return failures.broken(_BEYOND, status=200)
        try:
            made = self._dialect.read_images(body, call.n)
        except wire.NotUnderstood:
            return failures.broken("The image provider's answer cannot be understood.", status=200)
        return (
            made if all(image.url is None for image in made.images) else await self._download(made, until_s)
        )

    async def _download(self, made: CallMade, until_s: float | None) -> CallMade | CallFailure:
        """Fetch images that came as URLs, concurrently; failed ones are missing from the answer."""
        wait_s = self._timeouts.read_s
        if until_s is not None:
            wait_s = min(wait_s, until_s - asyncio.get_running_loop().time())
        deadline_s = time.monotonic() + wait_s
        async with asyncio.TaskGroup() as group:
            fetches = [group.create_task(self._fetch(image, deadline_s)) for image in made.images]
        fetched = [fetch.result() for fetch in fetches]
        images = tuple(image for image in fetched if isinstance(image, RawImage))
        failed = [image for image in fetched if isinstance(image, CallFailure)]
        return replace(made, images=images) if images else failed[0]

    async def _fetch(self, image: RawImage, deadline_s: float) -> RawImage | CallFailure:
        if image.url is None:
            return image
        try:
            data = await self._downloads.fetch(image.url, deadline_s=deadline_s)
        except DownloadFailed as error:
            return failures.broken(str(error), status=200)
        return replace(image, data=data, url=None)

    def _clean(self, made: CallMade, call: ImageCall) -> CallMade:
        """Return *made* with the catalogue's name of its model, and without a secret in the texts that are kept and shown.

        Whatever a provider echoes, the name of a model may also not repeat the prompt; the asked one, before a date or
        another ending, does not.
        """
        model = made.answered_model
        if model is not None and (ending := model.removeprefix(call.model)):
            sent = self._dialect.name_of(call.model)
            if model == sent:
                model = call.model
            elif conceals(ending.removeprefix(sent), secrets=self._secrets, prompt=call.prompt):
                model = wire.OTHER
        images = tuple(
            replace(image, revised_prompt=hide_secrets(image.revised_prompt, self._secrets))
            if image.revised_prompt
            else image
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
