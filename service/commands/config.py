"""`image-gateway config`: check the settings as `serve` does, print them, and explain them."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer

from service.commands.console import explain, fail
from service.commands.explanation import Explanation
from service.commands.settings import (
    ignored_in_environment,
    read_settings,
    unknown_in_environment,
    warn_of_unknown_variables,
)
from service.commands.table import print_json
from service.serve.interrupts import run_interruptible
from service.settings.problems import SettingsError
from service.settings.variables import Settings
from service.wiring.checks import check_settings
from service.wiring.effective import (
    configured_backends,
    find_repeated_keys,
    find_unmade,
    plan_keys,
    plan_models,
    planned_catalog,
)
from service.wiring.key_checks import check_keys

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.callback(invoke_without_command=True)
def config(
    context: typer.Context,
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
    if context.invoked_subcommand is not None:
        return
    settings = read_settings()
    warn_of_unknown_variables()
    _check(settings)
    typer.echo(settings.model_dump_json(indent=2))


@app.command()
def check(
    *,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no backend whether it accepts its keys.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object instead of tables, with exact values.")
    ] = False,
) -> None:
    """Explain the settings in effect, and test every key of every backend.

    Shows which backend serves which models until when, which keys are tried in which order and how fast, what the
    bridge does today, and which variables are not read. The test is free: it asks for the list of models. The exit code
    is 1 if a setting is wrong, or a key is refused or gets no answer.

    Example: `GATEWAY_CONFIG=gateway.toml image-gateway config check`
    """
    settings = read_settings()
    _check(settings)
    try:
        backends = configured_backends(settings)
    except SettingsError as error:
        fail(str(error))
    if backends and not offline and not as_json:
        explain("Asking each backend for its models, once with each key ...")
    with asyncio.Runner() as runner:
        checks = (
            None
            if offline
            else run_interruptible(runner, check_keys(backends, is_of_variables=not settings.file.backends))
        )
    today, catalog = datetime.now(UTC).date(), planned_catalog(settings, backends)
    explanation = Explanation(
        settings=settings,
        backends=backends,
        keys=plan_keys(settings, backends),
        models=plan_models(catalog, today),
        checks={checked.name: checked for checked in checks or ()},
        warnings=[
            *unknown_in_environment(),
            *ignored_in_environment(settings),
            *find_repeated_keys(backends),
            *find_unmade(catalog, backends, today),
        ],
        today=today,
    )
    if as_json:
        print_json(explanation.document())
    else:
        explanation.show()
    faults = [f"{checked.name}: {checked.advice}" for checked in checks or () if checked.advice]
    if faults:
        fail("\n".join(faults))


def _check(settings: Settings) -> None:
    try:
        check_settings(settings)
    except SettingsError as error:
        fail(str(error))
