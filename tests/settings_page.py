"""Write `docs/settings.md` from the settings themselves: `python -m tests.settings_page > docs/settings.md`."""

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from service.settings.access import JwtConfig
from service.settings.backend_keys import KeyConfig, SecretFile
from service.settings.backends import BackendConfig, ServedModelConfig, TimeoutsConfig
from service.settings.file import ModerationConfig, OnlyBackendConfig
from service.settings.policies import DefaultPolicy, PolicyConfig, TeamConfig
from service.settings.variables import Settings

NESTED: dict[str, type[BaseModel]] = {"default_policy": DefaultPolicy, "jwt": JwtConfig}
"""Settings whose members are variables, such as `GATEWAY_JWT__ISSUER`."""
NOT_VARIABLES = {"file"}
SUBJECTS = {
    "Provider": (
        "openai_api_key openai_base_url openai_org_id openai_project_id sandbox max_calls_in_flight "
        "max_calls_waiting waiting_bytes moderation download_hosts"
    ),
    "Server": (
        "host port public_url data_dir config log_level traces deadline_s lame_duck_s drain_s metrics_port "
        "metrics_host revision"
    ),
    "Callers": "auth allow_open allowed_hosts cors_origins admin_key metrics_key secrets jwt",
    "Limits": "default_policy unpriced budgets_without_redis body_bytes upload_bytes caller_share",
    "Redis": "redis_url redis_timeout_s embedded_redis replicas",
    "Cache": "cache cache_scope cache_ttl_s fanout_window_ms",
    "Images and links": (
        "store_url store_endpoint store_region store_access_key_id store_secret_access_key store_redirect_s store_front_key "
        "url_ttl_s retention_s retention_bytes sweep_s"
    ),
}
NOTES = {"Limits": ("`GATEWAY_DEFAULT_POLICY__*` limits every user without a policy.", "")}
TABLES: dict[str, type[BaseModel]] = {
    "[backend]": OnlyBackendConfig,
    "[[backends]]": BackendConfig,
    "[[backends.keys]]": KeyConfig,
    "[backends.timeouts_s]": TimeoutsConfig,
    '[backends.models."<name>"]': ServedModelConfig,
    "[moderation]": ModerationConfig,
    "[policies.<name>]": PolicyConfig,
    "[teams.<name>]": TeamConfig,
}
SET_BY_PLACE = {("BackendConfig", "priority"), ("KeyConfig", "priority"), ("KeyConfig", "name")}
"""Names whose defaults depend on the place in the file; their descriptions say how."""
UNITS = {"_s": "seconds", "_bytes": "bytes", "_microusd": "micro-dollars"}
FORMS = {list: "list", dict: "table", TimeoutsConfig: "table", date: "date", Path: "path", SecretFile: "path"}
HEADER = """\
# Settings

<!-- Generated: python -m tests.settings_page > docs/settings.md -->

The gateway reads environment variables, and tables from a [configuration file](#configuration-file). An empty variable
or file counts as unset. `image-gateway config` checks all settings, prints those in force without secrets, and reports misspelt
variables with the nearest known name. `image-gateway config check` [explains them](command-line.md#check-the-configuration), and asks
every backend if it accepts its keys.

"or `…_FILE`" marks secrets that can come from a file: `OPENAI_API_KEY_FILE=/run/secrets/key` instead of `OPENAI_API_KEY`.
`HTTPS_PROXY`, `NO_PROXY` and `SSL_CERT_FILE` apply to calls to the provider. The command line also reads `GATEWAY_URL`
and `GATEWAY_KEY`: the gateway and the key that [`generate`, `edit` and `vary`](command-line.md) use.
"""
FILE_HEADER = """\
## Configuration file

`GATEWAY_CONFIG` names a TOML file. It takes precedence over policies and teams set by commands or `/admin`; its own can
be changed only there. Errors are reported with file and line.

```toml
[backend]
images_per_min = 150

[moderation]
words = ["..."]

[policies.artists]
images_per_day = 200
budget_per_month_microusd = 50_000_000   # 50 US dollars
models = ["dall-e-3", "gpt-image-2"]
max_n = 4
max_size = "1536x1024"

[teams.studio]
policy = "artists"

[models."dall-e-3".bridge]
to = "gpt-image-2.6-sunburst"            # a current model for a retired one
```

`[[backends]]` takes the place of `[backend]` and of all `OPENAI_*` variables, for several providers or keys
([Providers and keys](providers.md)):

```toml
[[backends]]
name = "openai"
keys = [
  { name = "main", key_file = "openai-main.key", weight = 3, images_per_min = 150 },
  { name = "spare", key_file = "openai-spare.key", priority = 2 },
]
```

The name of a team or policy has 1 to 40 of `a-z`, `0-9` and `-`. `[models."<name>"]` tables
[add or override a model](bridge.md#add-or-override-a-model).
"""


def write_page() -> str:
    """Return the page."""
    parts = [HEADER]
    for subject, names in SUBJECTS.items():
        rows = [row for name in names.split() for row in _variables(name)]
        parts.append(_table(subject, "variable", rows, note=NOTES.get(subject, ())))
    parts.append(FILE_HEADER)
    for table, model in TABLES.items():
        parts.append(_table(f"`{table}`", "name", list(_rows(model)), level=3))
    return "\n".join(parts)


def variable_of(name: str) -> str:
    """Return the variable of the setting *name*."""
    return name.upper() if name.startswith("openai_") else f"GATEWAY_{name.upper()}"


def _variables(name: str) -> Iterator[tuple[str, ...]]:
    if name in NESTED:
        for member, *rest in _rows(NESTED[name]):
            yield (f"`{variable_of(name)}__{member.strip('`').upper()}`", *rest)
        return
    field = Settings.model_fields[name]
    from_file = " or `…_FILE`" if SecretStr in get_args(field.annotation) else ""
    yield f"`{variable_of(name)}`{from_file}", *_row(name, field, _descriptions(Settings)[name])


def _rows(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    described = _descriptions(model)
    for name, field in model.model_fields.items():
        default, *rest = _row(name, field, described[name])
        yield f"`{name}`", "unset" if (model.__name__, name) in SET_BY_PLACE else default, *rest


def _row(name: str, field: FieldInfo, description: str) -> tuple[str, str, str]:
    default = field.get_default(call_default_factory=True)
    return _show(default), _values(name, field), description


def _descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstring below each field of *model*, inherited ones too."""
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if not kind.__module__.startswith("service."):
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        assert isinstance(definition, ast.ClassDef)
        for field, text in zip(definition.body, definition.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                assert isinstance(text.value, ast.Constant)
                found[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return found


def _show(value: object) -> str:
    if value is PydanticUndefined:
        return "required"
    if value in (None, "", [], {}) or isinstance(value, BaseModel):
        return "unset"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _values(name: str, field: FieldInfo) -> str:
    """Return what a setting may be: its choices, or its unit and range."""
    choices = _choices(field.annotation)
    if choices:
        return ", ".join(_show(choice) for choice in choices)
    rules, kind = _unwrap(field.annotation)
    form = FORMS.get(get_origin(kind) or kind, "")
    unit = next((unit for suffix, unit in UNITS.items() if name.endswith(suffix)), "") if not form else ""
    return ", ".join(part for part in (form or unit, _range([*field.metadata, *rules])) if part) or "text"


def _unwrap(kind: Any) -> tuple[list[Any], Any]:
    """Return the rules of an optional or annotated type, and the type itself."""
    if isinstance(kind, UnionType) or get_origin(kind) is Union:
        return _unwrap(next(member for member in get_args(kind) if member is not NoneType))
    if get_origin(kind) is Annotated:
        inner, *rules = get_args(kind)
        return [each for rule in rules for each in getattr(rule, "metadata", ())], inner
    return [], kind


def _choices(kind: Any) -> list[Any]:
    if kind is bool:
        return [True, False]
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    # A choice that may be left out.
    return [choice for member in get_args(kind) for choice in _choices(member)]


def _range(rules: Sequence[Any]) -> str:
    words = {"ge": "at least", "gt": "above", "le": "at most"}
    bounds = [(word, getattr(rule, bound, None)) for rule in rules for bound, word in words.items()]
    return ", ".join(f"{word} {value:,}" for word, value in bounds if value is not None)


def _table(
    title: str, first: str, rows: list[tuple[str, ...]], *, level: int = 2, note: Sequence[str] = ()
) -> str:
    lines = [
        f"{'#' * level} {title}",
        "",
        *note,
        f"| {first} | default | values | meaning |",
        "| --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows), ""])


if __name__ == "__main__":
    sys.stdout.write(write_page())
