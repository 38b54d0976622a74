"""Run the command line: `image-gateway sandbox` and `python -m service.sandbox`.

Owns the options and their help; `server` does the rest.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from service.sandbox.rules.models import UnknownModel
from service.sandbox.server import CannotListen, Options, run
from service.sandbox.wire.kinds import Kind


def main(name: str | None = None) -> None:
    """Run the command line; help and errors call it *name*, or by the words that started this process."""
    app = typer.Typer(add_completion=False)
    app.command()(serve)
    app(prog_name=name)


def serve(  # noqa: PLR0913, PLR0917 - typer needs one parameter per option
    host: Annotated[
        str, typer.Option(help="IPv4 address to listen on. There is no access control.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 0,
    kind: Annotated[
        Kind,
        typer.Option(help="Imitate OpenAI, a resource of Azure, or a compatible server with deviations."),
    ] = Kind.OPENAI,
    deployment: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=MODEL",
            help="Serve only MODEL as NAME, whatever its last day at OpenAI; may be repeated.",
        ),
    ] = None,
    journal_file: Annotated[
        Path | None, typer.Option(help="Append each finished request to this file as one line of JSON.")
    ] = None,
    latency_s: Annotated[
        float, typer.Option(min=0, help="Seconds each order takes in addition to painting.")
    ] = 0,
    today: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Pretend it is this day: models retire by date."),
    ] = None,
    legacy_dalle: Annotated[
        bool, typer.Option("--legacy-dalle", help="Serve dall-e-2 and dall-e-3 too, with variations.")
    ] = False,
    fault_proxy: Annotated[
        bool, typer.Option(help="Listen on a second port too, whose connections break on command.")
    ] = False,
    exit_with_parent: Annotated[
        bool,
        typer.Option(
            "--exit-with-parent", help="Stop when stdin ends, so the sandbox does not outlive its parent."
        ),
    ] = False,
    first_serial: Annotated[int, typer.Option(min=1, max=2**32 - 1, help="Number of the first image.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Images painted at the same time.")] = 2,
    without_controls: Annotated[
        bool,
        typer.Option(
            "--without-controls",
            help="Serve no journal, behaviour or faults: prompts stay private on a shared machine.",
        ),
    ] = False,
) -> None:
    r"""Run a server that answers like OpenAI's Images API of November 2026, and paints for free.

    Once it accepts it prints one line of JSON on stdout, {"event":"listening","url":...,"fault_url":...}, and
    nothing else. Any non-empty bearer token is a valid key, on Azure any `api-key` too.

    Azure:          --kind azure --deployment images=gpt-image-2   under /openai/deployments/images and /openai/v1

    Deviate:        --kind compatible   URLs of JPEG files, one image a call, white masks, foreign errors, no key

    Inspect:        GET /sandbox/journal?since=0&settle_s=5   requests, answers and charges

    Misbehave:      PUT /sandbox/behaviour   {"latency_s": 2, "failures": [{"status": 429, "retry_after_s": 1}]}

                    PUT /sandbox/behaviour   {"stream_fault": "cut"}   or "error_event", "silent_end"

    Lie:            PUT /sandbox/behaviour   {"painted_size": "512x512"}   or {"image_url": "http://10.0.0.1/"}

                    PUT /sandbox/behaviour   {"failures": [{"status": 200, "body": "gzip_bomb"}]}   or "cut", "empty_data"

    Towards a key:  PUT /sandbox/behaviour?key=sk-a   {"throttle": {"for_s": 30}}   or {"throttle": {"requests": 3}}

                    PUT /sandbox/behaviour?key=sk-a   {"account": "revoked"}   or "blocked", "no_quota", "billing_limit"

    Break the wire: PUT /sandbox/faults      {"mode": "reset_after_request", "times": 1}   (with --fault-proxy)

    docs/sandbox.md has all members. DELETE resets each of the three. The sandbox that a gateway runs for itself has none of them.
    """
    options = Options(
        kind=kind,
        deployments=_read_deployments(deployment or []),
        host=host,
        port=port,
        journal_file=journal_file,
        latency_s=latency_s,
        today=today.date() if today else None,
        legacy_dalle=legacy_dalle,
        fault_proxy=fault_proxy,
        exit_with_parent=exit_with_parent,
        first_serial=first_serial,
        threads=threads,
        has_controls=not without_controls,
    )
    try:
        run(options)
    except (CannotListen, UnknownModel) as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from error


def _read_deployments(pairs: Sequence[str]) -> dict[str, str]:
    split = [pair.partition("=") for pair in pairs]
    for (name, _, model), pair in zip(split, pairs, strict=True):
        if not name or not model:
            raise typer.BadParameter(f"--deployment takes NAME=MODEL, such as images=gpt-image-2, not {pair}")
    found = {name: model for name, _, model in split}
    if len(found) < len(split):
        raise typer.BadParameter("--deployment takes each NAME once")
    return found


if __name__ == "__main__":
    main()
