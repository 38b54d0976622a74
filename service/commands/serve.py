"""`image-gateway serve`: run the gateway."""

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
    """Serve until stopped. Configured by GATEWAY_* variables: see `image-gateway config`."""
    settings = read_settings()
    warn_of_unknown_variables()
    configure_logs(settings.log_level)
    try:
        check_settings(settings)
        serve_until_stopped(settings, explain)
    except (SettingsError, ChildFailed) as error:
        fail(str(error))
