"""Show the progress of an order: a line on a terminal, and the path of each image as it arrives."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from service.commands.ordering.language import Words


@contextmanager
def show_progress(n: int, say: Words, *, prints_paths: bool) -> Iterator[Callable[[Path], None]]:
    """Show that *n* images are awaited; yields a function that takes the path of each saved one.

    A standard error that is no terminal shows nothing, as its reader is a program or a file.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    # Standard output keeps its own way: it may be a file while the line is on a terminal.
    progress = Progress(
        *columns, console=console, transient=True, redirect_stdout=False, disable=not console.is_terminal
    )

    def describe(done: int) -> str:
        return say("{done} of {images}", done=done, images=say.count(n))

    task = progress.add_task(describe(0), total=n)
    done = 0

    def tell(path: Path) -> None:
        nonlocal done
        done += 1
        progress.update(task, advance=1, description=describe(done))
        if prints_paths:
            _print(str(path), progress if console.is_terminal and sys.stdout.isatty() else None)

    with progress:
        yield tell


def _print(line: str, progress: Progress | None) -> None:
    """Print *line* to standard output; on a terminal above the line of *progress*."""
    if progress is not None:
        progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        return
    try:
        typer.echo(line)
    except BrokenPipeError:
        # The reader has left, as `head` does: the other images are saved nevertheless.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
