"""Read the environment of a command; no other module reads it."""

import os

from service.commands.console import explain, fail
from service.settings.environment import ignored_variables, load_settings, nearest_variable, unknown_variables
from service.settings.problems import SettingsError
from service.settings.variables import Settings


def read_settings() -> Settings:
    """Return the settings; an error in them ends the command."""
    try:
        return load_settings(os.environ)  # noqa: TID251 - the one place that reads the environment
    except SettingsError as error:
        fail(str(error))


def warn_of_unknown_variables() -> None:
    for warning in unknown_in_environment():
        explain(f"warning: {warning}")


def unknown_in_environment() -> list[str]:
    """Return a sentence about each likely misspelt variable."""
    sentences = []
    for name in unknown_variables(os.environ):  # noqa: TID251 - the one place that reads the environment
        near = nearest_variable(name)
        advice = f". Did you mean {near}?" if near else ""
        sentences.append(f"{name} is not a setting of the gateway{advice}")
    return sentences


def ignored_in_environment(settings: Settings) -> list[str]:
    """Return a sentence about each variable that is set and not read."""
    names = ignored_variables(os.environ, settings)  # noqa: TID251 - the one place that reads the environment
    return [f"{name} is not read, as [[backends]] takes its place; unset it" for name in names]
