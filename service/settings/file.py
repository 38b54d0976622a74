"""Read the configuration file: settings that are tables, too large for variables.

Failure behaviour: closed. Every error is reported with its line.
"""

import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.settings.policies import Counted, Name, PolicyConfig, PolicyName, TeamConfig
from service.settings.problems import SettingsError


class BackendConfig(BaseModel):
    """The `[backend]` table of the configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("openai", pattern=r"^[a-z0-9-]{1,40}$")
    """Name of the provider in metrics; 1 to 40 of `a-z`, `0-9` and `-`."""
    images_per_min: Counted = 0
    """Images a minute that the provider allows your key; calls are paced accordingly. 0 sets no pace."""
    pass_unknown: bool = False
    """If `true`, the gateway passes parameters that the catalogue does not know on to current models."""


class ModerationConfig(BaseModel):
    """The `[moderation]` table, read with `GATEWAY_MODERATION=list`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: list[str] = []
    """Texts that prompts must not contain, in upper or lower case, with `GATEWAY_MODERATION=list`."""


class FileConfig(BaseModel):
    """The configuration file `GATEWAY_CONFIG` (TOML)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: BackendConfig = BackendConfig()
    moderation: ModerationConfig = ModerationConfig()
    policies: dict[PolicyName, PolicyConfig] = {}
    teams: dict[Name, TeamConfig] = {}
    models: dict[str, dict[str, Any]] = {}
    """Added to or laid over the catalogue, `[models."<name>"]`."""


def read_file(path: Path) -> FileConfig:
    text = ""
    try:
        text = path.read_text("utf-8")
        config = FileConfig.model_validate(tomllib.loads(text))
    except OSError as error:
        raise SettingsError(f"GATEWAY_CONFIG: cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        lines = (
            f"{path}, line {_line_of(text, problem['loc'])}: {'.'.join(map(str, problem['loc']))}: "
            + _describe(problem)
            for problem in error.errors()
        )
        raise SettingsError("\n".join(lines)) from error
    except (ValueError, RecursionError) as error:
        # tomllib raises these, too, for deep nesting and for numbers with too many digits.
        raise SettingsError(f"{path}: {error}") from error
    for team, entry in config.teams.items():
        for field in ("policy", "user_policy"):
            policy = getattr(entry, field)
            if policy is not None and policy not in config.policies:
                line = _line_of(text, ("teams", team, field))
                raise SettingsError(
                    f"{path}, line {line}: teams.{team}.{field}: there is no [policies.{policy}] in this file"
                )
    return config


def _describe(problem: Mapping[str, Any]) -> str:
    if problem["type"] != "extra_forbidden":
        return str(problem["msg"]).removeprefix("Value error, ")
    *table, name = map(str, problem["loc"])
    known = _names_in(table)
    close = get_close_matches(name, known, n=1)
    return (
        f"there is no such name; did you mean {close[0]}?"
        if close
        else f"there is no such name; there are {', '.join(known)}"
    )


def _names_in(table: Sequence[str]) -> list[str]:
    """Return the names that the table at the path *table* may contain."""
    kind: Any = FileConfig
    for part in table:
        # In a mapping, all names have the same type.
        kind = kind.model_fields[part].annotation if hasattr(kind, "model_fields") else get_args(kind)[-1]
    return list(kind.model_fields)


def _line_of(text: str, location: tuple[int | str, ...]) -> int:
    """Return the line that completes the value at *location*, or at its longest existing part.

    The parser reports no positions, so this tries the first lines of *text* until they have
    the value.
    """
    lines = text.split("\n")
    found = 1
    for depth in range(1, len(location) + 1):
        for number in range(_first_with(lines, location[depth - 1], found), len(lines) + 1):
            if _has("\n".join(lines[:number]), location[:depth]):
                found = number
                break
        else:
            break
    return found


def _first_with(lines: list[str], part: int | str, start: int) -> int:
    """Return the first line from *start* that contains *part*: earlier ones need no trial."""
    if isinstance(part, int):
        return start
    return next((number for number in range(start, len(lines) + 1) if part in lines[number - 1]), start)


def _has(text: str, location: tuple[int | str, ...]) -> bool:
    try:
        value: Any = tomllib.loads(text)
        for part in location:
            value = value[part]
    except (tomllib.TOMLDecodeError, KeyError, IndexError, TypeError):
        return False
    return True
