"""`image-gateway vary`: order variations of an image."""

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
def vary(  # noqa: PLR0913, PLR0917 - one parameter an option
    image: Annotated[Path, typer.Argument(help="File to vary: PNG, JPEG or WebP.")],
    model: options.Model = "dall-e-2",
    n: options.Number = 1,
    size: options.Size = None,
    out: options.Out = options.OUT,
    fresh: options.Fresh = False,
    as_json: options.AsJson = False,
    url: options.Url = None,
    host: options.Host = options.HOST,
    port: options.Port = options.PORT,
    key: options.Key = "",
    language: options.Language = "",
) -> None:
    """Order variations of an image and save them as files.

    Saves and prints as `generate` does.

    Example: `image-gateway vary cat.png -n 4 --size 512x512`
    """
    fields = options.given(model=model, n=n, size=size)
    desk = Desk(
        url=options.url_of(url, host, port), key=key, out=out, say=words_of(language), as_json=as_json
    )
    place_order(desk, Order(operation="vary", fields=fields, images=(image,), is_fresh=fresh))
