"""`image-gateway config`: check the settings as `serve` does, and print them."""

from typing import Annotated

import typer

from service.commands.console import fail, make_command
from service.commands.settings import read_settings, warn_of_unknown_variables
from service.settings.problems import SettingsError
from service.wiring.checks import check_settings

app = make_command()


@app.command()
def config(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="For scripts that always give it: the output is JSON anyway.")
    ] = False,
) -> None:
    """Check the settings and print those in effect, with secrets masked.

    Run it with the variables of `image-gateway serve`. The exit code is 1 if a setting is wrong.

    Example: `GATEWAY_CONFIG=gateway.toml image-gateway config`
    """
    del as_json
    settings = read_settings()
    warn_of_unknown_variables()
    try:
        check_settings(settings)
    except SettingsError as error:
        fail(str(error))
    typer.echo(settings.model_dump_json(indent=2))
