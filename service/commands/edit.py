"""`image-gateway edit`: order images made from others and a description."""

from pathlib import Path
from typing import Annotated

import typer

from service.commands.console import make_command
from service.commands.ordering import options
from service.commands.ordering.client import Order
from service.commands.ordering.language import words_of
from service.commands.ordering.run import Desk, place_order

app = make_command()


@app.command()
def edit(  # noqa: PLR0913, PLR0917 - one parameter an option
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Files to edit, 1 to 16: PNG, JPEG or WebP.")
    ],
    prompt: Annotated[str, typer.Argument(help="Description of the change.")],
    mask: Annotated[
        Path | None,
        typer.Option(help="PNG of the first image's size; the model repaints where it is transparent."),
    ] = None,
    model: options.Model = "gpt-image-2.6-flare",
    n: options.Number = 1,
    size: options.Size = None,
    quality: options.Quality = None,
    file_format: options.FileFormat = None,
    background: options.BackgroundOption = None,
    out: options.Out = options.OUT,
    fresh: options.Fresh = False,
    as_json: options.AsJson = False,
    url: options.Url = None,
    host: options.Host = options.HOST,
    port: options.Port = options.PORT,
    key: options.Key = "",
    language: options.Language = "",
) -> None:
    """Edit images by a description and save the results as files.

    The description comes last, after the images. Saves and prints as `generate` does.

    Example: `image-gateway edit cat.png "a red hat" --mask mask.png`
    """
    fields = options.given(
        prompt=prompt,
        model=model,
        n=n,
        size=size,
        quality=quality,
        output_format=file_format,
        background=background,
    )
    desk = Desk(
        url=options.url_of(url, host, port), key=key, out=out, say=words_of(language), as_json=as_json
    )
    place_order(desk, Order(operation="edit", fields=fields, images=tuple(images), mask=mask, is_fresh=fresh))
