"""The command line: `image-gateway …`."""

import os
import sys

import orjson
import typer

from service.adapters.logs import configure_logs
from service.app import create_app
from service.commands import cache, generate, keys, people, policies, teams, usage
from service.commands.surface import explain, fail, read_settings, warn_of_unknown_variables
from service.serve.children import ChildFailed
from service.serve.supervisor import serve
from service.settings.problems import SettingsError
from service.settings.variables import Settings
from service.wiring.checks import check_settings
from service.wiring.ground import Surroundings

cli = typer.Typer(
    help="One service for all image generation of a company: the OpenAI Images API, cached, limited, accounted for.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for name, group in (
    ("keys", keys.app),
    ("teams", teams.app),
    ("policies", policies.app),
    ("usage", usage.app),
    ("cache", cache.app),
):
    cli.add_typer(group, name=name)
cli.command()(generate.generate)
cli.command()(people.purge)
cli.command()(people.audit)


@cli.command("serve")
def serve_command() -> None:
    """Serve until stopped. Configured by GATEWAY_* variables: see `image-gateway config`."""
    settings = read_settings()
    warn_of_unknown_variables()
    configure_logs(settings.log_level)
    try:
        check_settings(settings)
        serve(settings, explain)
    except (SettingsError, ChildFailed) as error:
        fail(str(error))


@cli.command()
def config() -> None:
    """Check the settings and show what is in force; secrets are not shown."""
    settings = read_settings()
    warn_of_unknown_variables()
    try:
        check_settings(settings)
    except SettingsError as error:
        fail(str(error))
    typer.echo(settings.model_dump_json(indent=2))


@cli.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    surroundings = Surroundings(redis_url="", sandbox_url=None, public_url="", secrets=("",))
    document = create_app(Settings.model_construct(), surroundings).openapi()
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))


@cli.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def sandbox(context: typer.Context) -> None:
    """Run the sandbox provider by itself; `image-gateway sandbox --help` shows its options."""
    os.execv(sys.executable, [sys.executable, "-m", "service.sandbox", *context.args])  # noqa: S606 - replaces this process


def main() -> None:
    """Run the command line."""
    cli()


if __name__ == "__main__":
    main()
