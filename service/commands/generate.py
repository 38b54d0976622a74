"""`image-gateway generate`: order over HTTP from a running gateway, and save the images in files.

Failure behaviour: one line with a remedy. The answer may come from a proxy or another
server, so its form is checked.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import httpx
import orjson
import pybase64
import typer

from service.commands.console import fail, make_command

app = make_command()

_CONNECT_S = 10.0
_PATIENCE_S = 610.0
"""Longer than a gateway works on an order by default."""


class OrderNotMade(Exception):
    """The order made no images; the message has the reason and a remedy."""


@dataclass(frozen=True, slots=True)
class Made:
    """The *images* of an order, and the *name* that their files begin with."""

    name: str
    images: list[bytes]


@app.command()
def generate(  # noqa: PLR0913, PLR0917 - one parameter an option
    prompt: Annotated[str, typer.Argument(help="Description of the image.")],
    model: Annotated[str, typer.Option(help="Model, one of those that GET /v1/models lists.")] = "dall-e-3",
    n: Annotated[int, typer.Option("-n", help="Number of images, 1 to 10.")] = 1,
    size: Annotated[
        str | None, typer.Option(help="Size, such as 1024x1024; the model's default if not given.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Directory to save the images in; created if missing.")] = Path(
        "out"
    ),
    url: Annotated[
        str | None,
        typer.Option(envvar="GATEWAY_URL", help="URL of the gateway; by default http://HOST:PORT."),
    ] = None,
    host: Annotated[
        str, typer.Option(envvar="GATEWAY_HOST", help="Host of the gateway, without --url.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="GATEWAY_PORT", help="Port of the gateway, without --url.")
    ] = 8080,
    key: Annotated[
        str, typer.Option(envvar="GATEWAY_KEY", help="Your API key; an open gateway needs none.")
    ] = "",
) -> None:
    """Order images from a running gateway and save them as files.

    Prints the path of each file.

    Example: `image-gateway generate "a white siamese cat" -n 2 --size 1024x1024`
    """
    order = {"prompt": prompt, "model": model, "n": n, "size": size, "response_format": "b64_json"}
    try:
        # Before the order: paid images need a place.
        out.mkdir(parents=True, exist_ok=True)
        made = place_order(url or _url_of(host, port), key, order)
        paths = [
            out / f"{made.name}-{number}.{_extension(image)}" for number, image in enumerate(made.images, 1)
        ]
        for path, image in zip(paths, made.images, strict=True):
            path.write_bytes(image)
    except OrderNotMade as error:
        fail(str(error))
    except OSError as error:
        fail(f"--out {out}: {error.strerror}")
    for path in paths:
        typer.echo(path)


def place_order(url: str, key: str, order: dict[str, Any], *, patience_s: float = _PATIENCE_S) -> Made:
    """Return the images of *order* from the gateway at *url*.

    Raises:
        OrderNotMade: the order was refused or failed, or no gateway answers.
    """
    if not (key.isascii() and key.isprintable()):
        raise OrderNotMade("GATEWAY_KEY is not an API key: it has characters that no key contains.")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    timeout = httpx.Timeout(patience_s, connect=min(_CONNECT_S, patience_s))
    try:
        response = httpx.post(f"{url}/v1/images/generations", json=order, headers=headers, timeout=timeout)
    except (httpx.ReadTimeout, httpx.WriteTimeout) as error:
        raise OrderNotMade(
            f"{url} did not answer for {patience_s:.0f} seconds. It may still make the images: repeat the order "
            "to get them from the cache."
        ) from error
    # OSError and ValueError come from unusable proxies or certificates of the environment.
    except (httpx.RequestError, httpx.InvalidURL, OSError, ValueError) as error:
        raise OrderNotMade(
            f"No gateway answers at {url}: {str(error) or type(error).__name__}. Start one with `image-gateway serve`."
        ) from error
    return Made(_name_of(response), _read_images(url, response))


def _url_of(host: str, port: int) -> str:
    """Return the URL of a gateway on *host*, which may be a wildcard address."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound here
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _read_images(url: str, response: httpx.Response) -> list[bytes]:
    try:
        answer = orjson.loads(response.content)
        if not response.is_error:
            return [pybase64.b64decode(image["b64_json"], validate=True) for image in answer["data"]]
        message = answer["error"]["message"]
    except (ValueError, LookupError, TypeError) as error:
        kind = response.headers.get("content-type", "no media type")
        raise OrderNotMade(
            f"There is no gateway at {url}: the answer has status {response.status_code}, {kind}. "
            "Set GATEWAY_URL to the address of the gateway."
        ) from error
    raise OrderNotMade(f"{message} (request {response.headers.get('x-request-id', 'without an id')})")


def _name_of(response: httpx.Response) -> str:
    """Return the end of the request's id, without characters that could leave the directory."""
    return re.sub(r"[^A-Za-z0-9]", "", response.headers.get("x-request-id", ""))[-8:] or uuid4().hex[:8]


def _extension(data: bytes) -> str:
    if data.startswith(b"\x89PNG"):
        return "png"
    return "jpg" if data.startswith(b"\xff\xd8") else "webp"
