"""Read the environment of a command; no other module reads it."""

import os

from service.commands.console import explain, fail
from service.settings.environment import load_settings, nearest_variable, unknown_variables
from service.settings.problems import SettingsError
from service.settings.variables import Settings


def read_settings() -> Settings:
    """Return the settings; an error in them ends the command."""
    try:
        return load_settings(os.environ)  # noqa: TID251 - the one place that reads the environment
    except SettingsError as error:
        fail(str(error))


def warn_of_unknown_variables() -> None:
    for name in unknown_variables(os.environ):  # noqa: TID251 - the one place that reads the environment
        near = nearest_variable(name)
        advice = f". Did you mean {near}?" if near else ""
        explain(f"warning: {name} is not a setting of the gateway{advice}")
