"""List every command by name, and load its module when the command is called.

So `--help` loads none of them, and `keys list` loads no part of the server; `serve` loads it once it serves.

How to add one: a module of its name in this package, with `app`, and its line in `HELPS`. `tests/test_command_start.py`
compares the two. A command that opens the state joins the contract `commands-open-the-state-alone` in `.importlinter`,
and a group of commands joins `GROUPS` in `tests/test_commands.py`, which asks each for an example.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

HELPS = {
    "serve": "Run the gateway until it is stopped; GATEWAY_* variables configure it.",
    "config": "Check the settings and print those in effect, with secrets masked.",
    "generate": "Order images from a running gateway and save them as files.",
    "edit": "Edit images by a description and save the results as files.",
    "vary": "Order variations of an image and save them as files.",
    "keys": "Create, list and revoke API keys.",
    "teams": "List teams, give them policies, close and reopen them.",
    "policies": "List, set and remove policies: named sets of limits for users, keys and teams.",
    "usage": "Show or export spending by day, team, user, model, backend and outcome.",
    "cache": "Count and purge stored images.",
    "purge": "Erase a person: revoke their keys, delete their limits and images, and anonymize their usage.",
    "audit": "List the actions of admins, newest first.",
    "openapi": "Print the OpenAPI document of the HTTP API.",
    "sandbox": "Run only the sandbox, a provider of free test images.",
}
"""The summary of every command, repeated from its module: a test compares the two."""


class Commands(TyperGroup):
    """Lists commands without their modules, and loads the one that is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, text in HELPS.items():
            self.add_command(TyperCommand(name, help=text))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, known, rest = super().resolve_command(ctx, args)
        return name, show_flags_alone(load(name), ctx) if name else known, rest

    def get_params(self, ctx: Any) -> Any:
        return [_show_alone(param) for param in super().get_params(ctx)]


def load(name: str) -> Any:
    with loading():
        module = import_module(f"service.commands.{name}")
    return get_command(module.app)


@contextmanager
def loading() -> Iterator[None]:
    """Load modules, which stay for good.

    Searching them for garbage while they are made, and again at the end of the process, finds none and costs a quarter of a command.
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def show_flags_alone(command: Any, ctx: Any) -> Any:
    """Let the help of *command* and of those below it show flags without a type, which would invite a value."""
    for param in command.get_params(ctx):
        _show_alone(param)
    for each in getattr(command, "commands", {}).values():
        show_flags_alone(each, ctx)
    return command


def _show_alone(param: Any) -> Any:
    if getattr(param, "is_flag", False):
        param.metavar = ""
    return param


def show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"image-gateway {version('image-gateway')}")
        raise typer.Exit


cli = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


@cli.callback()
def describe(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=show_version, is_eager=True)
    ] = False,
) -> None:
    """Gateway for a company's images: the OpenAI Images API with a cache, limits and cost accounting.

    First steps: `image-gateway serve` in one shell, `image-gateway generate "a white siamese cat"` in another.
    """
