"""`image-gateway sandbox`: run the sandbox provider alone."""

import os
import sys

import typer

from service.commands.console import make_command

app = make_command()


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def sandbox(context: typer.Context) -> None:
    """Run only the sandbox, a provider of free test images."""
    start = f"from service.sandbox.__main__ import main; main({context.command_path!r})"
    os.execv(sys.executable, [sys.executable, "-c", start, *context.args])  # noqa: S606 - replaces this process
