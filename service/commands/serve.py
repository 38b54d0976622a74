"""`image-gateway serve`: run the gateway."""

import sys

import structlog

from service.adapters.telemetry.logs import configure_logs
from service.commands.console import explain, fail, make_command
from service.commands.settings import read_settings, warn_of_unknown_variables
from service.serve.children import ChildFailed
from service.serve.supervisor import serve as serve_until_stopped
from service.settings.problems import SettingsError
from service.wiring.checks import check_settings

app = make_command()


@app.command()
def serve() -> None:
    """Run the gateway until it is stopped; GATEWAY_* variables configure it.

    Without any, it listens on 127.0.0.1:8080 and paints test images. `image-gateway config` prints the settings in
    effect; docs/settings.md describes each. Ctrl-C or SIGTERM lets running orders finish first.

    Example: `GATEWAY_PORT=9000 OPENAI_API_KEY=sk-... image-gateway serve`
    """
    settings = read_settings()
    warn_of_unknown_variables()
    configure_logs(settings.log_level)
    try:
        check_settings(settings)
        serve_until_stopped(settings, explain if sys.stderr.isatty() else _log_start)
    except (SettingsError, ChildFailed) as error:
        fail(str(error))


def _log_start(greeting: str) -> None:
    """Log *greeting* as one line: without a terminal each line is an object."""
    structlog.get_logger().info("ready", greeting=greeting)
