"""Read the configuration file: settings that are tables, too large for variables.

Failure behaviour: closed. Every error is reported with its line.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from service.settings.backend_keys import KeyConfig
from service.settings.backends import BackendConfig
from service.settings.policies import Counted, Name, PolicyConfig, PolicyName, TeamConfig
from service.settings.problems import SettingsError, hide_keys, looks_like_key

Location = tuple[int | str, ...]
"""The path of a value in the file: names of tables and indices of lists."""
_USUAL_NAMES = {
    "api_base": "url",
    "base_url": "url",
    "endpoint": "url",
    "api_key": "keys",
    "deployment": "name",
    "deployments": "models",
    "provider": "kind",
    "type": "kind",
}
"""Names of other programs for the same."""


class OnlyBackendConfig(BaseModel):
    """The `[backend]` table of the configuration file: the provider that the `OPENAI_*` variables set."""

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

    backend: OnlyBackendConfig = OnlyBackendConfig()
    backends: list[BackendConfig] = []
    moderation: ModerationConfig = ModerationConfig()
    policies: dict[PolicyName, PolicyConfig] = {}
    teams: dict[Name, TeamConfig] = {}
    models: dict[str, dict[str, Any]] = {}
    """Added to or laid over the catalogue, `[models."<name>"]`."""

    @field_validator("backends", mode="before")
    @classmethod
    def _count_places(cls, value: object) -> object:
        if isinstance(value, list) and all(isinstance(backend, dict) for backend in value):
            return [{"priority": place, **backend} for place, backend in enumerate(value, 1)]
        raise ValueError("write [[backends]], with two brackets, above each backend")


def read_file(path: Path) -> FileConfig:
    """Read the configuration file at *path*, and the files of keys that it names.

    Raises:
        SettingsError: one line per error, with the file and the line.
    """
    text = ""
    try:
        text = path.read_text("utf-8")
        config = FileConfig.model_validate(tomllib.loads(text), context={"directory": path.parent})
    except OSError as error:
        raise SettingsError(f"GATEWAY_CONFIG: cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        lines = (_fault(path, text, problem["loc"], _describe(problem)) for problem in error.errors())
        raise SettingsError("\n".join(lines)) from error
    except (ValueError, RecursionError) as error:
        # tomllib raises these, too, for deep nesting and for numbers with too many digits.
        raise SettingsError(f"{path}: {hide_keys(str(error))}") from error
    for location, message in [*_faults_of_backends(config), *_faults_of_teams(config)]:
        raise SettingsError(_fault(path, text, location, message))
    return config


def fault_in(path: Path, location: Location, message: str) -> str:
    """Return *message* behind *path*, the line and the name of the value at *location*; both without keys."""
    return _fault(path, path.read_text("utf-8"), location, message)


def _faults_of_teams(config: FileConfig) -> Iterator[tuple[Location, str]]:
    for team, entry in config.teams.items():
        for field in ("policy", "user_policy"):
            policy = getattr(entry, field)
            if policy is not None and policy not in config.policies:
                yield ("teams", team, field), f"there is no [policies.{policy}] in this file"


def _faults_of_backends(config: FileConfig) -> Iterator[tuple[Location, str]]:
    if config.backends and "backend" in config.model_fields_set:
        yield ("backend",), "[backend] goes with OPENAI_API_KEY, [[backends]] instead of it: keep one of them"
    for at, name in _repeated(backend.name for backend in config.backends):
        yield ("backends", at, "name"), f"another backend is called '{name}'; give each a name of its own"
    for place, backend in enumerate(config.backends):
        for at, name in _repeated(key.name for key in backend.keys):
            message = f"another key of '{backend.name}' is called '{name}'; give each a name of its own"
            yield ("backends", place, "keys", at, "name"), message


def _repeated(names: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield the names that are in *names* before, too, with their index."""
    before: set[str] = set()
    for at, name in enumerate(names):
        if name in before:
            yield at, name
        before.add(name)


def _describe(problem: Mapping[str, Any]) -> str:
    if problem["type"] != "extra_forbidden":
        return str(problem["msg"]).removeprefix("Value error, ")
    *table, name = problem["loc"]
    known = _names_in(table)
    if len(table) == 2 and table[0] == "backends" and name in KeyConfig.model_fields:
        return f'belongs to a key, as in keys = [{{ name = "main", {name} = ... }}]'
    if looks_like_key(str(name)):
        return 'looks like a key; a key is a value, as in keys = [{ name = "main", key = "..." }]'
    usual = _USUAL_NAMES.get(str(name))
    close = [usual] if usual in known else get_close_matches(str(name), known, n=1)
    return (
        f"there is no such name; did you mean {close[0]}?"
        if close
        else f"there is no such name; there are {', '.join(known)}"
    )


def _names_in(table: Sequence[int | str]) -> list[str]:
    """Return the names that the table at the path *table* may contain."""
    kind: Any = FileConfig
    for part in table:
        # In a mapping or list, all members have the same type.
        kind = kind.model_fields[part].annotation if hasattr(kind, "model_fields") else get_args(kind)[-1]
        if NoneType in get_args(kind):
            (kind,) = set(get_args(kind)) - {NoneType}
    return list(kind.model_fields)


def _fault(path: Path, text: str, location: Location, message: str) -> str:
    said = hide_keys(f"{_name_of(tomllib.loads(text), location)}: {message}")
    return f"{path}, line {_line_of(text, location)}: {said}"


def _name_of(value: Any, location: Location) -> str:
    """Return the name of the value at *location* in *value*; tables of a list have their own name, or a number from 1."""
    names: list[str] = []
    for part in location:
        value = _member(value, part)
        name = value.get("name") if isinstance(part, int) and isinstance(value, dict) else str(part)
        names.append(name if isinstance(name, str) else f"{names[-1].removesuffix('s')}-{int(part) + 1}")
    return ".".join(names)


def _member(value: Any, part: int | str) -> Any:
    """Return the member *part* of *value*; in a list of texts, a text is its own member. None if it has none."""
    if isinstance(value, list) and isinstance(part, str):
        return part if part in value else None
    try:
        return value[part]
    except (KeyError, IndexError, TypeError):
        return None


def _line_of(text: str, location: Location) -> int:
    """Return the line that completes the value at *location*, or at its longest existing part.

    The parser reports no positions, so this tries the first lines of *text* until they have the value. A bracket behind
    them completes the array of an element.
    """
    lines = text.split("\n")
    found = 1
    for depth in range(1, len(location) + 1):
        for number in range(_first_with(lines, location[depth - 1], found), len(lines) + 1):
            head = "\n".join(lines[:number])
            if _has(head, location[:depth]) or _has(f"{head}\n]", location[:depth]):
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


def _has(text: str, location: Location) -> bool:
    try:
        value: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    for part in location:
        value = _member(value, part)
    # TOML has no null.
    return value is not None
