"""`image-gateway openapi`: print the description of the API, without a running gateway."""

import orjson
import typer

from service.app import create_app
from service.commands.console import make_command
from service.settings.variables import Settings
from service.wiring.process import BackingServices

app = make_command()


@app.command()
def openapi() -> None:
    """Print the OpenAPI document of the HTTP API.

    Example: `image-gateway openapi > openapi.json`
    """
    backing = BackingServices(redis_url="", sandbox_url=None, public_url="", secrets=("",))
    document = create_app(Settings.model_construct(), backing).openapi()
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
