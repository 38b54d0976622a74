"""Order, save each image as soon as it arrives, and report.

Failure behaviour: saved files stay, whatever happens later. A failure is one line and exit code 1, Ctrl-C one line and
exit code 130.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import typer

from service.commands.console import explain
from service.commands.ordering.client import (
    Accepted,
    GatewayClient,
    MadeImage,
    Order,
    OrderNotMade,
    open_client,
    say_repeat,
)
from service.commands.ordering.files import Album, name_of
from service.commands.ordering.language import Words
from service.commands.ordering.progress import show_progress
from service.commands.ordering.report import Report, SavedImage
from service.commands.table import print_json
from service.serve.interrupts import run_interruptible


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The choices of a command beside its order: the gateway, the directory, the language and the form of the report."""

    url: str
    key: str
    out: Path
    say: Words
    as_json: bool


def place_order(desk: Desk, order: Order) -> None:
    """Place *order*, save its images and print the report; a failure ends the command."""
    report, failure, code = Report(order), "", 0
    started_s = time.monotonic()
    try:
        with asyncio.Runner() as runner:
            run_interruptible(runner, _work(desk, report))
    except OrderNotMade as error:
        failure, code = str(error), 1
        report.problem = {"message": failure, "type": None, "param": None, "code": None, **error.problem}
    except KeyboardInterrupt:
        failure, code = _say_interrupted(desk.say, report), 130
        report.problem = {"message": failure, "type": None, "param": None, "code": "interrupted"}
    report.seconds = time.monotonic() - started_s
    if desk.as_json:
        print_json(report.record())
    elif report.saved and code != 130:
        explain(report.line(desk.say))
    if code:
        explain(desk.say("error: ") + failure)
        raise typer.Exit(code)


async def _work(desk: Desk, report: Report) -> None:
    """Fill *report* while the images of its order arrive."""
    order, say = report.order, desk.say
    try:
        # Before the order: paid images need a place.
        desk.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OrderNotMade(
            say("{path}: {reason}", path=f"--out {desk.out}", reason=say.reason(str(error.strerror)))
        ) from error
    with show_progress(order.n, say, prints_paths=not desk.as_json) as tell:
        async with open_client(desk.url, desk.key, say) as client:
            failure = await _collect(desk, report, client, tell)
            if report.saved:
                report.realm = await client.realm_of(order)
    if failure is not None:
        raise failure


async def _collect(
    desk: Desk, report: Report, client: GatewayClient, tell: Callable[[Path], None]
) -> OrderNotMade | None:
    """Save each image that arrives; return the failure that keeps others away, None if there is none."""
    album = Album(desk.out, uuid4().hex[:8])
    try:
        async with aclosing(client.order(report.order)) as steps:
            async for step in steps:
                if isinstance(step, Accepted):
                    report.request_id, report.sent_model = step.request_id, step.sent_model
                    album = Album(desk.out, name_of(step.request_id or "") or album.name)
                else:
                    tell(_save(album, step, report, desk.say))
    except OrderNotMade as error:
        return error
    return None


def _save(album: Album, image: MadeImage, report: Report, say: Words) -> Path:
    try:
        path = album.save(image.place, image.data)
    except OSError as error:
        message = say(
            "{path}: {reason}", path=f"--out {album.directory}", reason=say.reason(str(error.strerror))
        )
        link = say(" The image is still behind this link: {url}", url=image.url) if image.url else ""
        raise OrderNotMade(message + link) from error
    report.saved.append(SavedImage(path, image))
    return path


def _say_interrupted(say: Words, report: Report) -> str:
    images = say.count(report.order.n)
    interrupted = say("Interrupted after {done} of {images}.", done=len(report.saved), images=images)
    return interrupted + say_repeat(say, report.order)
