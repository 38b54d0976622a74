"""`image-gateway config`: show the settings, checked as `serve` does."""

import typer

from service.commands.console import fail, make_command
from service.commands.settings import read_settings, warn_of_unknown_variables
from service.settings.problems import SettingsError
from service.wiring.checks import check_settings

app = make_command()


@app.command()
def config() -> None:
    """Check the settings and show what is in force; secrets are not shown."""
    settings = read_settings()
    warn_of_unknown_variables()
    try:
        check_settings(settings)
    except SettingsError as error:
        fail(str(error))
    typer.echo(settings.model_dump_json(indent=2))
