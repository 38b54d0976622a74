"""`image-gateway generate`: order images by a description from a running gateway."""

from typing import Annotated

import typer

from service.commands.console import make_command
from service.commands.ordering import options
from service.commands.ordering.client import Order
from service.commands.ordering.language import words_of
from service.commands.ordering.run import Desk, place_order

app = make_command()


@app.command()
def generate(  # noqa: PLR0913, PLR0917 - one parameter an option
    prompt: Annotated[str, typer.Argument(help="Description of the image.")],
    model: options.Model = "dall-e-3",
    n: options.Number = 1,
    size: options.Size = None,
    quality: options.Quality = None,
    style: options.Style = None,
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
    """Order images from a running gateway and save them as files.

    Saves each image as soon as it arrives and prints the path of its file. The last line, on standard error, has the
    cost.

    Example: `image-gateway generate "a white siamese cat" -n 2 --size 1792x1024 --quality hd --style natural`
    """
    fields = options.given(
        prompt=prompt,
        model=model,
        n=n,
        size=size,
        quality=quality,
        style=style,
        output_format=file_format,
        background=background,
    )
    desk = Desk(
        url=options.url_of(url, host, port), key=key, out=out, say=words_of(language), as_json=as_json
    )
    place_order(desk, Order(operation="generate", fields=fields, is_fresh=fresh))
