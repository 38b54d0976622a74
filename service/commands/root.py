"""The command line: every command by name, with its module, which is loaded when the command is called.

So `--help` loads none of them, and `keys list` loads no part of the server. The helps stand
here a second time; a test compares them with those of the commands.

How to add one: a module of its name in this package, with `app`, and its line in `HELPS`. `tests/test_command_start.py`
compares the two. A command that opens the state joins the contract `commands-open-the-state-alone` in `.importlinter`,
and a group of commands joins `GROUPS` in `tests/test_commands.py`, which asks each for an example.
"""

import gc
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

HELPS = {
    "serve": "Serve until stopped. Configured by GATEWAY_* variables: see `image-gateway config`.",
    "config": "Check the settings and show what is in force; secrets are not shown.",
    "generate": "Order images from a running gateway and save them.",
    "keys": "Make, list and revoke API keys.",
    "teams": "Say which policy limits a team, and close teams that may spend nothing any more.",
    "policies": "Named sets of limits, for users, keys and teams.",
    "usage": "What was spent, by day, team, user, model and outcome.",
    "cache": "Count and purge the pictures that are kept.",
    "purge": "Erase a person: keys, limits, the pictures they had made, and the name on every sum.",
    "audit": "Show what admins did, newest first; over HTTP too.",
    "openapi": "Print the OpenAPI document.",
    "sandbox": "Run the sandbox provider by itself; `image-gateway sandbox --help` shows its options.",
}
"""Every command with its help. It is `app` in the module of its name."""


class Commands(TyperGroup):
    """Knows its commands by name and help, and loads the one that is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, text in HELPS.items():
            self.add_command(TyperCommand(name, help=text))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the name, the loaded command and the rest of *args*."""
        name, known, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else known, rest


def load(name: str) -> Any:
    """Load a command."""
    # Modules stay for good. Searching them for garbage while they are made, and again at the end of the
    # process, finds none and costs a quarter of a command.
    gc.disable()
    try:
        module = import_module(f"service.commands.{name}")
        gc.freeze()
    finally:
        gc.enable()
    return get_command(module.app)


def show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"image-gateway {version('image-gateway')}")
        raise typer.Exit


cli = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@cli.callback()
def describe(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=show_version, is_eager=True)
    ] = False,
) -> None:
    """One service for all image generation of a company: the OpenAI Images API, cached, limited, accounted for."""
