"""Read the settings: the environment, the files its `*_FILE` variables name, and the configuration file.

Failure behaviour: closed. All errors are reported at once, one per line. An empty variable
or file counts as unset.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import EnvSettingsSource
from pydantic_settings import SettingsError as NestedSettingsError

from service.settings.file import FileConfig, read_file
from service.settings.problems import SettingsError
from service.settings.variables import Settings

_SECRETS = (
    "redis_url",
    "secrets",
    "admin_key",
    "metrics_key",
    "store_access_key_id",
    "store_secret_access_key",
    "store_front_key",
)
_OTHERS = (*(f"{name.upper()}_FILE" for name in _SECRETS), "URL", "KEY")
"""Variables that are not settings: files of secrets, and those of the commands that order."""

_PROVIDER = (
    "OPENAI_API_KEY_FILE",
    *(name.upper() for name in Settings.model_fields if name.startswith("openai_")),
)
_OLD_NAMES = {
    "OPENAI_API_BASE": "OPENAI_BASE_URL",
    "OPENAI_KEY": "OPENAI_API_KEY",
    "OPENAI_ORGANIZATION": "OPENAI_ORG_ID",
}
"""Names of earlier SDKs (openai 0.28, README), and their successors."""


def load_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings from *environment* and the files it names; without the provider's variables if it has backends.

    Raises:
        SettingsError: one line per error, with the name of the variable or the line of the file.
    """
    try:
        path = _read_variables(environment).get("config")
        file = read_file(Path(path)) if path else FileConfig()
        if file.backends:
            environment = {name: value for name, value in environment.items() if name not in _PROVIDER}
        settings = Settings.model_validate(
            {**_read_variables(environment), **_read_secret_files(environment)}
        )
    except ValidationError as error:
        raise SettingsError("\n".join(_describe(problem) for problem in error.errors())) from error
    except NestedSettingsError as error:
        name = str(error).partition('"')[2].partition('"')[0].upper()
        raise SettingsError(
            f"GATEWAY_{name}: this is a group; set its members, as in GATEWAY_{name}__<MEMBER>"
        ) from error
    return settings.model_copy(update={"file": file})


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Return likely misspelt variables: unknown `GATEWAY_*`, and names close to the provider's."""
    known = {f"GATEWAY_{name.upper()}" for name in Settings.model_fields}
    known |= {f"GATEWAY_{name}" for name in _OTHERS}
    ours = (
        name for name in environment if name.startswith("GATEWAY_") and name.partition("__")[0] not in known
    )
    # Other `OPENAI_*` variables belong to SDKs.
    theirs = (
        name
        for name in environment
        if name.startswith("OPEN") and name not in _PROVIDER and nearest_variable(name) is not None
    )
    return sorted([*ours, *theirs])


def ignored_variables(environment: Mapping[str, str], settings: Settings) -> list[str]:
    """Return the provider's variables that are set beside `[[backends]]`, which takes their place."""
    return [name for name in _PROVIDER if environment.get(name)] if settings.file.backends else []


def nearest_variable(name: str) -> str | None:
    """Return the variable that an unknown *name* most likely means, if any is close."""
    if not name.startswith("GATEWAY_"):
        if name in _OLD_NAMES:
            return _OLD_NAMES[name]
        near = get_close_matches(name, _PROVIDER, n=1, cutoff=0.88)
        return near[0] if near else None
    # The common prefix would make any two names close.
    near = get_close_matches(name.removeprefix("GATEWAY_"), [*_names(), *_OTHERS], n=1, cutoff=0.7)
    return f"GATEWAY_{near[0]}" if near else None


def _read_variables(environment: Mapping[str, str]) -> dict[str, Any]:
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): value for name, value in environment.items() if value}
    return source()


def _names() -> Iterator[str]:
    """Yield the names of settings without `GATEWAY_`; for groups, those of their members."""
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, FileConfig) or field.validation_alias is not None:
            continue
        members = type(field.default).model_fields if isinstance(field.default, BaseModel) else {}
        yield from (f"{name}__{member}".upper() for member in members)
        if not members:
            yield name.upper()


def _read_secret_files(environment: Mapping[str, str]) -> dict[str, str]:
    """Read secrets from the files that `*_FILE` variables name (Docker and Kubernetes secrets)."""
    names = {f"GATEWAY_{name.upper()}": name for name in _SECRETS} | {"OPENAI_API_KEY": "openai_api_key"}
    values: dict[str, str] = {}
    for variable, name in names.items():
        path = environment.get(f"{variable}_FILE")
        if not path:
            continue
        try:
            value = Path(path).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise SettingsError(f"{variable}_FILE: cannot read the file it names: {reason}") from error
        if value:
            values[name] = value
    return values


def _describe(problem: Mapping[str, Any]) -> str:
    location = [str(part) for part in problem["loc"]]
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not location:
        return message
    name = "__".join(location).upper()
    variable = name if name.startswith("OPENAI_") else f"GATEWAY_{name}"
    if problem["type"] == "extra_forbidden":
        near = nearest_variable(variable)
        message = "there is no such setting" + (f"; did you mean {near}?" if near else "")
    return f"{variable}: {message}"
