"""Send orders to a gateway, and read their images from its stream of events.

Failure behaviour: `OrderNotMade` with one line and a remedy. The answer may come from a proxy or another
server, so its form is checked.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pybase64
from httpx_sse import EventSource, ServerSentEvent

from service.commands.ordering.language import Words

PATIENCE_S = 120.0
"""Time without a byte after which a gateway is gone: its streams have a comment every 15 seconds."""
_CONNECT_S = 10.0
_REALM_S = 5.0
_STREAM = "text/event-stream"
_AFTER_THE_ORDER = (httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError)
"""Failures with which the order may have arrived."""
MOST_IMAGES = 16
"""Input images of an edit, at most."""


class OrderNotMade(Exception):
    """The order ended without all of its images; the message has the reason and a remedy.

    *problem* has the fields of the gateway's error if the gateway gave the reason.
    """

    def __init__(self, message: str, problem: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.problem = problem or {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order: its *operation* as estimates name it, its *fields*, which have `model` and `n`, and its files."""

    operation: str
    fields: dict[str, Any]
    images: tuple[Path, ...] = ()
    mask: Path | None = None
    is_fresh: bool = False

    @property
    def model(self) -> str:
        """The model asked for."""
        return str(self.fields["model"])

    @property
    def n(self) -> int:
        """The number of images asked for."""
        return int(self.fields["n"])


@dataclass(frozen=True, slots=True)
class Accepted:
    """The gateway works on the order."""

    request_id: str | None
    sent_model: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeImage:
    """A finished image: *place* counts from 0; *cost_microusd* None is an unknown price.

    *backend* made it as an image of *sent_model*, if it was made for this order.
    """

    data: bytes
    place: int
    size: str | None
    cost_microusd: int | None
    cache: str | None
    url: str | None
    revised_prompt: str | None
    backend: str | None = None
    sent_model: str | None = None


_ROUTES = {"generate": "generations", "edit": "edits", "vary": "variations"}


@asynccontextmanager
async def open_client(
    url: str, key: str, say: Words, *, patience_s: float = PATIENCE_S
) -> AsyncIterator["GatewayClient"]:
    """Open a client of the gateway at *url*; raises `OrderNotMade` if that cannot work."""
    if not (key.isascii() and key.isprintable()):
        raise OrderNotMade(say("GATEWAY_KEY is not an API key: it has characters that no key contains."))
    headers = {"authorization": f"Bearer {key}"} if key else {}
    timeout = httpx.Timeout(patience_s, connect=min(_CONNECT_S, patience_s))
    try:
        client = httpx.AsyncClient(headers=headers, timeout=timeout)
    # From unusable proxies or certificates of the environment.
    except (httpx.InvalidURL, OSError, ValueError) as error:
        raise OrderNotMade(_say_unreachable(say, url, error)) from error
    async with client:
        yield GatewayClient(client, url, say, patience_s)


class GatewayClient:
    """Orders from one gateway."""

    def __init__(self, client: httpx.AsyncClient, url: str, say: Words, patience_s: float) -> None:
        self._client = client
        self._url = url
        self._say = say
        self._patience_s = patience_s

    async def order(self, order: Order) -> AsyncGenerator[Accepted | MadeImage]:
        """Send *order*; yields `Accepted` and then each image as it arrives.

        Raises:
            OrderNotMade: the order was refused, failed or was cut off, or no gateway answers.
        """
        url = f"{self._url}/v1/images/{_ROUTES[order.operation]}/stream"
        done, is_accepted = 0, False
        with ExitStack() as files:
            content = _content_of(order, self._say, files)
            try:
                async with self._client.stream("POST", url, **content) as response:
                    if not response.headers.get("content-type", "").startswith(_STREAM):
                        await response.aread()
                        raise self._refusal(response)
                    is_accepted = True
                    yield Accepted(response.headers.get("x-request-id"), response.headers.get("x-model-sent"))
                    async for event in EventSource(response).aiter_sse():
                        if image := self._read(event, response):
                            done += 1
                            yield image
            except (httpx.ReadTimeout, httpx.WriteTimeout) as error:
                raise self._silence(order) from error
            # OSError and ValueError come from unusable proxies or certificates of the environment.
            except (httpx.RequestError, httpx.InvalidURL, OSError, ValueError) as error:
                if is_accepted or isinstance(error, _AFTER_THE_ORDER):
                    raise self._cut_off(done, order) from error
                raise OrderNotMade(_say_unreachable(self._say, self._url, error)) from error
        if done < order.n:
            raise self._cut_off(done, order)

    async def realm_of(self, order: Order) -> str | None:
        """Return `sandbox` if the images of *order* are test images, `live` if they cost money; None if unknown."""
        # Without the prompt, which the price needs and the realm does not.
        asked = {"model": order.model, "n": order.n, "operation": order.operation}
        try:
            response = await self._client.post(
                f"{self._url}/v1/images/estimate", json=asked, timeout=_REALM_S
            )
            return str(orjson.loads(response.content)["realm"])
        except (httpx.HTTPError, ValueError, LookupError, TypeError):
            return None

    def _read(self, event: ServerSentEvent, response: httpx.Response) -> MadeImage | None:
        """Return the image of *event*; None for others, such as stages."""
        try:
            payload = orjson.loads(event.data)
            if event.event == "error":
                raise self._failure(payload["error"], response)
            return _image_of(payload) if event.event.endswith(".completed") else None
        except (ValueError, LookupError, TypeError) as error:
            raise self._other_server(response) from error

    def _refusal(self, response: httpx.Response) -> OrderNotMade:
        """Return the reason of an answer without images."""
        try:
            return self._failure(orjson.loads(response.content)["error"], response)
        except (ValueError, LookupError, TypeError):
            return self._other_server(response)

    def _failure(self, problem: dict[str, Any], response: httpx.Response) -> OrderNotMade:
        request_id = response.headers.get("x-request-id", self._say("without an id"))
        message = self._say(
            "{message} (request {request_id})", message=problem["message"], request_id=request_id
        )
        code = problem.get("code")
        # The gateway's own advice is English.
        has_advice = code == "partial_failure" and not self._say.is_chinese
        advice = (
            self._say(
                " Repeat the order to pay only for the missing images: the finished ones come from the cache."
            )
            if problem.get("images_kept") and not has_advice
            else ""
        )
        return OrderNotMade(self._say.introduce(code) + message + advice, problem)

    def _other_server(self, response: httpx.Response) -> OrderNotMade:
        return OrderNotMade(
            self._say(
                "There is no gateway at {url}: the answer has status {status}, {kind}. Set GATEWAY_URL to the address of the gateway.",
                url=self._url,
                status=response.status_code,
                kind=response.headers.get("content-type", "no media type"),
            )
        )

    def _cut_off(self, done: int, order: Order) -> OrderNotMade:
        return OrderNotMade(
            self._say(
                "{url} closed the connection after {done} of {images}.",
                url=self._url,
                done=done,
                images=self._say.count(order.n),
            )
            + say_repeat(self._say, order)
        )

    def _silence(self, order: Order) -> OrderNotMade:
        return OrderNotMade(
            self._say(
                "{url} did not answer for {seconds} seconds.", url=self._url, seconds=round(self._patience_s)
            )
            + say_repeat(self._say, order)
        )


def say_repeat(say: Words, order: Order) -> str:
    """Return the way to images that are finished after their client has left."""
    if order.is_fresh:
        return say(
            " The gateway may still make what is missing: repeat the order without --fresh to get it from the cache."
        )
    return say(" The gateway may still make what is missing: repeat the order to get it from the cache.")


def _content_of(order: Order, say: Words, files: ExitStack) -> dict[str, Any]:
    """Return the headers and the body of *order*, whose files *files* closes; raises `OrderNotMade` without a file."""
    headers = {"cache-control": "no-cache"} if order.is_fresh else {}
    if not order.images:
        return {"json": order.fields, "headers": headers}
    if len(order.images) > MOST_IMAGES:
        raise OrderNotMade(
            say("An order takes 1 to {most} images, not {given}.", most=MOST_IMAGES, given=len(order.images))
        )
    named = [*(("image", path) for path in order.images), *([("mask", order.mask)] if order.mask else [])]
    parts = []
    for name, path in named:
        try:
            parts.append((name, (path.name, files.enter_context(path.open("rb")))))
        except OSError as error:
            raise OrderNotMade(
                say("{path}: {reason}", path=path, reason=say.reason(str(error.strerror)))
            ) from error
    return {"data": order.fields, "files": parts, "headers": headers}


def _image_of(payload: dict[str, Any]) -> MadeImage:
    return MadeImage(
        data=pybase64.b64decode(payload["b64_json"], validate=True),
        place=int(payload.get("index", 0)),
        size=payload.get("size"),
        cost_microusd=payload.get("cost_microusd"),
        cache=payload.get("cache"),
        url=payload.get("url"),
        revised_prompt=payload.get("revised_prompt"),
        backend=payload.get("backend"),
        sent_model=payload.get("sent_model"),
    )


def _say_unreachable(say: Words, url: str, error: Exception) -> str:
    reason = str(error) or type(error).__name__
    return say(
        "No gateway answers at {url}: {reason}. Start one with `image-gateway serve`.",
        url=url,
        reason=say.reason(reason),
    )
