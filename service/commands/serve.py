"""`image-gateway serve`: describe the command; `serving.py` runs it, and is loaded only for that."""

from service.commands.console import make_command
from service.commands.root import loading

app = make_command()


@app.command()
def serve() -> None:
    """Run the gateway until it is stopped; GATEWAY_* variables configure it.

    Without any, it listens on 127.0.0.1:8080 and paints test images. `image-gateway config` prints the settings in
    effect; docs/settings.md describes each. Ctrl-C or SIGTERM lets running orders finish first.

    Example: `GATEWAY_PORT=9000 OPENAI_API_KEY=sk-... image-gateway serve`
    """
    with loading():
        # Help needs none of it, which takes a second.
        from service.commands.serving import run  # noqa: PLC0415
    run()
