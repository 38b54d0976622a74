"""Read the settings, and run the gateway by them."""

import logging
import sys

import structlog

from service.adapters.telemetry.logs import configure_logs
from service.commands.console import explain, fail
from service.commands.settings import read_settings, warn_of_unknown_variables
from service.serve.children import ChildFailed
from service.serve.supervisor import serve as serve_until_stopped
from service.settings.problems import SettingsError
from service.wiring.checks import check_settings
from service.wiring.effective import find_repeated_keys

_log = logging.getLogger(__name__)


def run() -> None:
    """Serve until stopped; a wrong setting ends the process with its explanation."""
    settings = read_settings()
    warn_of_unknown_variables()
    configure_logs(settings.log_level)
    try:
        check_settings(settings)
        if not settings.uses_sandbox:
            for warning in find_repeated_keys(settings.file.backends):
                _log.warning(warning)
        serve_until_stopped(settings, explain if sys.stderr.isatty() else _log_start)
    except (SettingsError, ChildFailed) as error:
        fail(str(error))


def _log_start(greeting: str) -> None:
    """Log *greeting* as one line: without a terminal each line is an object."""
    structlog.get_logger().info("ready", greeting=greeting)
