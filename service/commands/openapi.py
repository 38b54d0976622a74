"""`image-gateway openapi`: print the description of the API, without a running gateway."""

from typing import Annotated

import orjson
import typer

from service.app import create_app
from service.commands.console import make_command
from service.http.contract.yaml import to_yaml
from service.settings.variables import Settings
from service.wiring.process import BackingServices

app = make_command()


@app.command()
def openapi(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, as GET /openapi.json serves it.")
    ] = False,
) -> None:
    """Print the OpenAPI document of the HTTP API.

    Example: `image-gateway openapi > openapi.yaml`
    """
    backing = BackingServices(redis_url="", sandbox_url=None, public_url="", secrets=("",))
    document = create_app(Settings.model_construct(), backing).openapi()
    if as_json:
        typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    else:
        typer.echo(to_yaml(document), nl=False)
