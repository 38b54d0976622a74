"""Declare the options that `generate`, `edit` and `vary` share."""

import tomllib
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

OUT = Path("out")
HOST, PORT = "127.0.0.1", 8080


class Format(StrEnum):
    """File formats that can be streamed, as these orders are."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"


class Background(StrEnum):
    TRANSPARENT = "transparent"
    OPAQUE = "opaque"
    AUTO = "auto"


def complete_model(incomplete: str) -> list[str]:
    """Return the models of the gateway's own catalogue that begin with *incomplete*, for the shell."""
    catalog = tomllib.loads((files("service.domain") / "models.toml").read_text("utf-8"))
    return [name for name in catalog["models"] if name.startswith(incomplete)]


Model = Annotated[
    str,
    typer.Option(
        help="Model, one of those that GET /v1/models lists; a current model answers for a retired one.",
        autocompletion=complete_model,
    ),
]
Number = Annotated[int, typer.Option("-n", help="Number of images, 1 to 10.")]
Size = Annotated[
    str | None,
    typer.Option(help="Size, such as 1024x1024, 1792x1024 or auto; the model's default if not given."),
]
Quality = Annotated[
    str | None,
    typer.Option(
        help="Quality: standard or hd of dall-e-3; low, medium, high or auto of GPT image models. Costs grow with it."
    ),
]
Style = Annotated[str | None, typer.Option(help="Style of dall-e-3: vivid or natural.")]
FileFormat = Annotated[
    Format | None,
    typer.Option("--format", help="Format of the files, of those that can be streamed; png if not given."),
]
BackgroundOption = Annotated[
    Background | None, typer.Option(help="Background, of models that have a choice.")
]
Out = Annotated[Path, typer.Option(help="Directory to save the images in; created if missing.")]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Make new images, and pay for them, even if the cache has some.")
]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one JSON object: files, their costs and links, and the error if one occurred."
    ),
]
Url = Annotated[
    str | None,
    typer.Option(envvar="GATEWAY_URL", help="URL of the gateway; by default http://HOST:PORT."),
]
Host = Annotated[str, typer.Option(envvar="GATEWAY_HOST", help="Host of the gateway, without --url.")]
Port = Annotated[int, typer.Option(envvar="GATEWAY_PORT", help="Port of the gateway, without --url.")]
Key = Annotated[str, typer.Option(envvar="GATEWAY_KEY", help="Your API key; an open gateway needs none.")]
Language = Annotated[
    str,
    typer.Option(
        envvar=["LC_ALL", "LC_MESSAGES", "LANG"],
        show_envvar=False,
        help="Language of what this command says: en or zh; by default that of the terminal.",
    ),
]


def url_of(url: str | None, host: str, port: int) -> str:
    """Return *url*, which may end in `/v1` as SDKs have it, or that of a gateway on *host*, which may be a wildcard."""
    if url:
        return url.rstrip("/").removesuffix("/v1")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound here
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def given(**fields: object) -> dict[str, object]:
    """Return the fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}
