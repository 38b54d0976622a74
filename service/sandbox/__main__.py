"""Run the command line, `python -m service.sandbox`.

Owns the options and their help; `server` does the rest.
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from service.sandbox.server import CannotListen, Options, run


def main() -> None:
    typer.run(serve)


def serve(  # noqa: PLR0913, PLR0917 - typer needs one parameter per option
    host: Annotated[
        str, typer.Option(help="IPv4 address to listen on. There is no access control.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 0,
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
    nothing else. Any non-empty bearer token is a valid key.

    Inspect:        GET /sandbox/journal?since=0&settle_s=5   requests, answers and charges

    Misbehave:      PUT /sandbox/behaviour   {"latency_s": 2, "failures": [{"status": 429, "retry_after_s": 1}]}

                    PUT /sandbox/behaviour   {"stream_fault": "cut"}   or "error_event", "silent_end"

    Break the wire: PUT /sandbox/faults      {"mode": "reset_after_request", "times": 1}   (with --fault-proxy)

    DELETE resets each of the three. The sandbox that a gateway runs for itself has none of them.
    """
    options = Options(
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
    except CannotListen as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    main()
