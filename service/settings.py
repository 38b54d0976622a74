"""All settings, read once from the environment, with their units and reasons.

`GATEWAY_*` variables (nested with `__`, `*_FILE` for secrets), the provider's own
variables as its SDKs read them, and an optional TOML file for what is a table. An
empty variable is an unset one.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as NestedSettingsError

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SECRETS = ("redis_url", "secrets")
_REDIS_SCHEMES = ("redis", "rediss", "unix")
_STORE_SCHEMES = ("file", "s3", "gs", "az")
_OPENAI_URL = "https://api.openai.com/v1"


class SettingsError(ValueError):
    """A setting is missing or wrong; the text names it and what would be right, never its value."""


class DefaultPolicy(BaseModel):
    """Limits of every caller without a policy of its own; 0 means no such limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_min: int = Field(600, ge=0)
    images_per_min: int = Field(120, ge=0)


class BackendConfig(BaseModel):
    """The `[backend]` table of the configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("openai", pattern=r"^[a-z0-9-]{1,40}$")
    images_per_min: int = Field(0, ge=0)
    """What the provider allows our key; calls are paced to it. 0: not paced."""
    pass_unknown: bool = False
    """Whether living models may be given parameters that the catalogue does not know."""


class ModerationConfig(BaseModel):
    """The `[moderation]` table: words that `GATEWAY_MODERATION=list` refuses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: list[str] = []


class FileConfig(BaseModel):
    """The configuration file `GATEWAY_CONFIG` (TOML)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: BackendConfig = BackendConfig()
    moderation: ModerationConfig = ModerationConfig()
    models: dict[str, dict[str, Any]] = {}
    """Added to or laid over the catalogue, `[models."<name>"]`."""


class Settings(BaseSettings):
    """Everything an operator can set."""

    model_config = SettingsConfigDict(
        env_prefix="GATEWAY_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        populate_by_name=True,
    )

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    workers: Literal[1] = 1
    """Processes of this replica; more than one comes with a later version."""
    replicas: int = Field(1, ge=1)
    """Gateways on one Redis: local shares and paces are divided by it."""
    data_dir: Path = Path(".data")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    config: Path | None = None

    redis_url: SecretStr | None = None
    """Unset: an embedded Valkey in the data directory."""
    redis_timeout_s: float = Field(0.25, gt=0, le=5)
    embedded_redis: bool = True
    store_url: str | None = None
    """Unset: `files` in the data directory."""
    public_url: str | None = None
    """Where callers reach this gateway; in every link. Required off loopback."""
    secrets: SecretStr | None = None
    """Comma-separated, newest first; each at least 16 characters. Unset on loopback: made once."""

    auth: Literal["open"] = "open"
    allow_open: bool = False
    """Lets an open gateway listen beyond loopback: everybody who reaches it may spend."""
    sandbox: bool | None = None
    """Unset: the sandbox stands in when no provider is set, auth is open and we are on loopback."""

    moderation: Literal["off", "provider", "list"] = "off"
    """Who judges prompts before anything is spent: nobody, the provider's moderation endpoint, or a list."""

    cache: Literal["on", "off"] = "on"
    cache_scope: Literal["user", "team"] = "team"
    cache_ttl_s: int = Field(30 * 86400, ge=60)
    url_ttl_s: int = Field(0, ge=0)
    """0: links live as long as the image is kept."""

    deadline_s: float = Field(300.0, gt=0, le=3600)
    """Longest an order may take; `x-request-timeout-s` may shorten it."""
    drain_s: float = Field(120.0, ge=0)
    max_calls_in_flight: int = Field(64, ge=1)
    default_policy: DefaultPolicy = DefaultPolicy()

    openai_api_key: SecretStr | None = Field(None, validation_alias="OPENAI_API_KEY")
    openai_base_url: str | None = Field(None, validation_alias="OPENAI_BASE_URL")
    openai_org_id: str | None = Field(None, validation_alias="OPENAI_ORG_ID")
    openai_project_id: str | None = Field(None, validation_alias="OPENAI_PROJECT_ID")

    file: FileConfig = FileConfig()
    """What the configuration file says; not itself a variable."""

    @field_validator("secrets")
    @classmethod
    def _check_secrets(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and any(len(secret) < 16 for secret in value.get_secret_value().split(",")):
            raise ValueError("each secret must be at least 16 characters long")
        return value

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _is_url(value.get_secret_value(), _REDIS_SCHEMES):
            raise ValueError(
                f"must be a URL that starts with {', '.join(f'{name}://' for name in _REDIS_SCHEMES)}"
            )
        return value

    @field_validator("openai_api_key")
    @classmethod
    def _check_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().isprintable():
            raise ValueError("must be one line without control characters")
        return value

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str | None) -> str | None:
        if value is not None and not _is_url(value, ("http", "https")):
            raise ValueError("must be an http(s) URL, such as https://images.example.com")
        return value

    @field_validator("openai_base_url")
    @classmethod
    def _check_base_url(cls, value: str | None) -> str | None:
        if value is not None and (not _is_url(value, ("http", "https")) or "@" in urlsplit(value).netloc):
            raise ValueError("must be an http(s) URL without credentials; the key goes into OPENAI_API_KEY")
        return value

    @field_validator("store_url")
    @classmethod
    def _check_store_url(cls, value: str | None) -> str | None:
        if value is not None and not _is_url(value, _STORE_SCHEMES):
            raise ValueError(
                f"must be a URL that starts with {', '.join(f'{name}://' for name in _STORE_SCHEMES)}"
            )
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if not self.is_loopback and not self.allow_open:
            raise ValueError(
                "GATEWAY_HOST is not loopback and GATEWAY_AUTH is open: anyone could spend. "
                "Bind to 127.0.0.1, or set GATEWAY_ALLOW_OPEN=true where the network is trusted"
            )
        if not self.is_loopback and self.public_url is None:
            raise ValueError("GATEWAY_PUBLIC_URL is required off loopback: links are made with it")
        if self.redis_url is None and (self.replicas > 1 or not self.embedded_redis):
            raise ValueError("GATEWAY_REDIS_URL is required with several replicas or without embedded Redis")
        if self.redis_url is not None and self.secrets is None and not self.is_loopback:
            raise ValueError(
                "GATEWAY_SECRETS is required with GATEWAY_REDIS_URL: all replicas must share them"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values as they are given: `load_settings` reads the environment."""
        return (init_settings,)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the gateway."""
        return self.host in _LOOPBACK

    @property
    def uses_sandbox(self) -> bool:
        """Whether pictures are painted fakes.

        Raises:
            SettingsError: there is no provider, and the sandbox may not stand in by itself.
        """
        if self.sandbox:
            return True
        if self.openai_api_key is not None or self.openai_base_url is not None:
            return False
        if self.sandbox is None and self.is_loopback:
            return True
        raise SettingsError(
            "No image provider: set OPENAI_API_KEY (and OPENAI_BASE_URL for another server), "
            "or GATEWAY_SANDBOX=true for painted test pictures"
        )

    @property
    def provider_url(self) -> str:
        """Base URL of the provider, as the SDKs understand it."""
        return self.openai_base_url or _OPENAI_URL


def load_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings from *environment* and the file it names.

    Raises:
        SettingsError: one line per problem, with the name of the variable.
    """
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): value for name, value in environment.items() if value}
    try:
        values = {**source(), **_read_secret_files(environment)}
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError("\n".join(_describe(problem) for problem in error.errors())) from error
    except NestedSettingsError as error:
        name = str(error).partition('"')[2].partition('"')[0].upper()
        raise SettingsError(
            f"GATEWAY_{name}: is a group; set its members, as in GATEWAY_{name}__<MEMBER>"
        ) from error
    if settings.config is not None:
        settings = settings.model_copy(update={"file": _read_file(settings.config)})
    return settings


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Return `GATEWAY_*` variables that mean nothing: most likely misspelt."""
    known = {f"GATEWAY_{name.upper()}" for name in Settings.model_fields}
    known |= {f"GATEWAY_{name.upper()}_FILE" for name in _SECRETS}
    # Read by `image-gateway generate`.
    known |= {"GATEWAY_URL", "GATEWAY_KEY"}
    return sorted(
        name for name in environment if name.startswith("GATEWAY_") and name.partition("__")[0] not in known
    )


def _read_secret_files(environment: Mapping[str, str]) -> dict[str, str]:
    """Read secrets from the files that `*_FILE` variables name (Docker and Kubernetes secrets)."""
    names = {f"GATEWAY_{name.upper()}": name for name in _SECRETS} | {"OPENAI_API_KEY": "openai_api_key"}
    values: dict[str, str] = {}
    for variable, name in names.items():
        path = environment.get(f"{variable}_FILE")
        if not path:
            continue
        try:
            values[name] = Path(path).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise SettingsError(f"{variable}_FILE: cannot read the file it names: {reason}") from error
    return values


def _read_file(path: Path) -> FileConfig:
    try:
        return FileConfig.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise SettingsError(f"GATEWAY_CONFIG: cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error
    except ValidationError as error:
        lines = (
            f"{path}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        )
        raise SettingsError("\n".join(lines)) from error


def _is_url(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - read to check it: a port that is no number raises
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.netloc or parts.path)


def _describe(problem: Mapping[str, Any]) -> str:
    location = [str(part) for part in problem["loc"]]
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not location:
        return message
    name = "__".join(location).upper()
    return f"{name if name.startswith('OPENAI_') else f'GATEWAY_{name}'}: {message}"
