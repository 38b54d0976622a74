"""`image-gateway cache`: count and purge stored images."""

import re
import sys
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from service.commands.console import explain, fail, make_group
from service.commands.state import WHO, with_opened
from service.commands.table import AsJson, Cell, Column, instant, show_table
from service.gateway.accounts.administration import Administration
from service.gateway.images.purge import Purged, Purging, Selection, TeamStats
from service.wiring.commands import open_purging

app = make_group("Count and purge stored images.")

_AGE = re.compile(r"([0-9]{1,5})([smhd])", re.ASCII)
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MOST_MODELS = 3


@app.command()
def stats(
    team: Annotated[str | None, typer.Option(help="Only images of this team.")] = None,
    as_json: AsJson = False,
) -> None:
    """Count the stored images of each team. An image that two teams share counts for both.

    Variants are images in the cache, which equal orders receive; other images are reached by their links only.

    Example: `image-gateway cache stats`
    """
    counted = with_opened(open_purging, lambda opened: opened[0].stats(team))
    columns = ("team", "images", Column("bytes", "size_bytes"), "variants", "oldest", "models")
    show_table(columns, [_row(each) for each in counted], as_json=as_json)


@app.command()
def purge(  # noqa: PLR0913, PLR0917 - one parameter an option
    team: Annotated[str | None, typer.Option(help="Only images of this team.")] = None,
    user: Annotated[
        str | None,
        typer.Option(help="Only images of this user: a name, or the hash that `usage export` prints."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Only images that were ordered from or made by this model.")
    ] = None,
    fingerprint: Annotated[
        str | None,
        typer.Option(help="Only images of the order with this fingerprint, as an image's /info shows it."),
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(help="Only images older than this: 30d, 12h, 90m; 0d means any age.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Purge without asking for confirmation.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the images, purge none.")] = False,
) -> None:
    """Purge images: equal orders pay for new ones, and their links answer 410. This cannot be undone.

    Give at least one filter; an image must match all of them. A running gateway deletes the files within minutes,
    once no other team keeps them and they are an hour old.

    Example: `image-gateway cache purge --team shop --older-than 30d`
    """
    age_s = None if older_than is None else _read_age(older_than)

    def select(administration: Administration) -> Selection:
        person = None if user is None else administration.callers.hash_of(user)
        return Selection(team=team, user=person, model=model, fingerprint=fingerprint, older_than_s=age_s)

    if all(given is None for given in (team, user, model, fingerprint, age_s)):
        fail(
            "Give a filter: --team, --user, --model, --fingerprint or --older-than; --older-than 0d purges all images."
        )
    if dry_run or not yes:
        found = with_opened(open_purging, lambda opened: opened[0].select(select(opened[1])))
        explain(f"{_count(found)} would be purged." if dry_run else f"{_count(found)} will be purged.")
        if dry_run or found.images == 0:
            return
        typer.confirm("Purge them? This cannot be undone", abort=True, err=True)

    async def work(opened: tuple[Purging, Administration]) -> Purged:
        with Progress(
            console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
        ) as progress:
            return await opened[0].purge(WHO, select(opened[1]), tell=_show(progress))

    explain(f"Purged {_count(with_opened(open_purging, work))}.")


def _show(progress: Progress) -> Callable[[Purged], None]:
    """Return a function that shows the progress of a purge; its total is unknown."""
    task = progress.add_task("purging", total=None)
    return lambda so_far: progress.update(task, description=f"purged {so_far.images} images")


def _row(stats: TeamStats) -> tuple[object, ...]:
    most = stats.models.most_common()
    models = ", ".join(f"{model} {images}" for model, images in most[:_MOST_MODELS])
    rest = len(most[_MOST_MODELS:])
    return (
        stats.team,
        stats.images,
        stats.size_bytes,
        stats.variants,
        instant(stats.oldest_s),
        Cell(f"{models}, {rest} more" if rest else models, dict(most)),
    )


def _count(purged: Purged) -> str:
    return f"{purged.images} images of {purged.size_bytes / 1e6:.1f} MB"


def _read_age(text: str) -> float:
    match = _AGE.fullmatch(text)
    if match is None:
        fail(f"--older-than '{text}': write an age such as 30d, 12h or 90m.")
    return float(match[1]) * _UNITS_S[match[2]]
