"""All settings, read once from the environment, with their units and reasons.

`GATEWAY_*` variables (nested with `__`, `*_FILE` for secrets), the provider's own
variables as its SDKs read them, and an optional TOML file for what is a table. An
empty variable is an unset one.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
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

from service.domain.callers import RESERVED_POLICIES

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SECRETS = (
    "redis_url",
    "secrets",
    "admin_key",
    "metrics_key",
    "store_access_key_id",
    "store_secret_access_key",
)
_WEEK_S = 7 * 86_400
"""S3 signs for no longer."""
_REDIS_SCHEMES = (
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)
_STORE_SCHEMES = ("file", "s3", "gs", "az")
_OPENAI_URL = "https://api.openai.com/v1"


class SettingsError(ValueError):
    """A setting is missing or wrong; the text names it and what would be right, never its value."""


class Limits(BaseModel):
    """The limits of a policy; 0 means no such limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_min: int = Field(0, ge=0)
    images_per_min: int = Field(0, ge=0)
    images_per_day: int = Field(0, ge=0)
    images_in_flight: int = Field(0, ge=0)
    budget_per_month_microusd: int = Field(0, ge=0)


class DefaultPolicy(Limits):
    """Limits of every user without a policy of their own."""

    requests_per_min: int = Field(600, ge=0)
    images_per_min: int = Field(120, ge=0)


_NAME = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]


def _check_not_reserved(name: str) -> str:
    if name in RESERVED_POLICIES:
        raise ValueError(f"no policy may be called '{name}': it means something else in usage")
    return name


_POLICY_NAME = Annotated[_NAME, AfterValidator(_check_not_reserved)]


class PolicyConfig(Limits):
    """A `[policies.<name>]` table of the configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    models: list[str] = []
    """Models that may be asked for; empty: all."""
    max_n: int = Field(0, ge=0, le=10)
    max_size: str = Field("", pattern=r"^([1-9][0-9]{1,4}x[1-9][0-9]{1,4})?$")
    """As many pixels as one image may have at most, such as `1536x1024`."""
    cache: Literal["on", "off"] = "on"
    cache_scope: Literal["user", "team"] | None = None


class TeamConfig(BaseModel):
    """A `[teams.<name>]` table: which policy limits the team as a whole, and which each of its users."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: _NAME | None = None
    user_policy: _NAME | None = None
    closed: bool = False


class JwtConfig(BaseModel):
    """Which tokens are believed: `GATEWAY_JWT__*`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = ""
    audience: str = ""
    """Comma-separated; a token must be for one of them."""
    jwks: str = ""
    """URL or file of the issuer's public keys."""
    algorithms: str = "RS256,ES256"
    user_claim: str = "sub"
    team_claim: str = "team"
    policy_claim: str = "policy"


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
    policies: dict[_POLICY_NAME, PolicyConfig] = {}
    teams: dict[_NAME, TeamConfig] = {}
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
    store_endpoint: str | None = None
    """Where an `s3://` store is, when not at AWS."""
    store_region: str | None = None
    store_access_key_id: SecretStr | None = None
    store_secret_access_key: SecretStr | None = None
    store_redirect_s: int = Field(0, ge=0, le=_WEEK_S)
    """Above 0, who follows a link is sent to the store itself, by a URL that is good for so long."""
    download_hosts: str = ""
    """Comma-separated hosts in the company's network that a backend may link to, such as `cdn.corp:8443`."""
    retention_s: int = Field(0, ge=0)
    """How long images are kept; 0: for ever."""
    retention_bytes: int = Field(0, ge=0)
    """As many bytes as all teams may keep; the oldest go. 0: no such bound."""
    sweep_s: float = Field(60.0, gt=0, le=3600)
    """How often is looked for what is kept no longer."""
    public_url: str | None = None
    """Where callers reach this gateway; in every link. Required off loopback."""
    secrets: SecretStr | None = None
    """Comma-separated, newest first; each at least 16 characters. Unset on loopback: made once."""

    auth: Literal["open", "keys", "jwt", "keys,jwt"] = "open"
    """Which credentials callers need: none, API keys, tokens of an identity provider, or either."""
    admin_key: SecretStr | None = None
    """Opens `/admin`, also before there are any keys; at least 16 characters."""
    metrics_key: SecretStr | None = None
    """Opens `/metrics` where credentials are asked for, and nothing else."""
    jwt: JwtConfig = JwtConfig()
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
    unpriced: Literal["refuse", "count"] = "refuse"
    """Whether callers with a budget may order what has no known price: no, or counted as unknown."""
    budgets_without_redis: Literal["refuse", "spend"] = "refuse"
    """Whether callers with a budget may spend while nobody can tell what is left of it."""

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

    @field_validator("admin_key", "metrics_key")
    @classmethod
    def _check_operator_key(cls, value: SecretStr | None) -> SecretStr | None:
        # What a header cannot carry would lock its owner out.
        if value is not None and not re.fullmatch(r"[!-~]{16,512}", value.get_secret_value()):
            raise ValueError("must be 16 to 512 ASCII characters without spaces")
        return value

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _is_redis_url(value.get_secret_value()):
            raise ValueError(
                "must be a URL such as redis://host:6379, unix:///path, redis+cluster://host,host or "
                "redis+sentinel://host,host/primary (rediss for TLS)"
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

    @field_validator("store_endpoint")
    @classmethod
    def _check_store_endpoint(cls, value: str | None) -> str | None:
        if value is not None and (not _is_url(value, ("http", "https")) or "@" in urlsplit(value).netloc):
            raise ValueError("must be an http(s) URL without credentials, such as http://minio:9000")
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
        if not self.is_loopback and self.is_open and not self.allow_open:
            raise ValueError(
                "GATEWAY_HOST is not loopback and GATEWAY_AUTH is open: anyone could spend. "
                "Set GATEWAY_AUTH=keys, bind to 127.0.0.1, or set GATEWAY_ALLOW_OPEN=true where the network "
                "is trusted"
            )
        if not self.is_loopback and self.public_url is None:
            raise ValueError("GATEWAY_PUBLIC_URL is required off loopback: links are made with it")
        if self.redis_url is None and (self.replicas > 1 or not self.embedded_redis):
            raise ValueError("GATEWAY_REDIS_URL is required with several replicas or without embedded Redis")
        if self.redis_url is not None and self.secrets is None and not (self.is_loopback and self.is_open):
            raise ValueError(
                "GATEWAY_SECRETS is required with GATEWAY_REDIS_URL: all replicas must share them"
            )
        self._check_store()
        if "jwt" in self.auth:
            for name in ("issuer", "audience", "jwks"):
                if not getattr(self.jwt, name):
                    raise ValueError(f"GATEWAY_JWT__{name.upper()} is required with GATEWAY_AUTH={self.auth}")
        return self

    def _check_store(self) -> None:
        given = [name for name, value in self.store_options.items() if value]
        if given and not (self.store_url or "").startswith("s3://"):
            raise ValueError(
                f"GATEWAY_STORE_{given[0].upper()} goes with a GATEWAY_STORE_URL that starts with s3://"
            )
        if (self.store_access_key_id is None) != (self.store_secret_access_key is None):
            raise ValueError("GATEWAY_STORE_ACCESS_KEY_ID and GATEWAY_STORE_SECRET_ACCESS_KEY go together")

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
    def is_open(self) -> bool:
        """Whether callers need no credentials."""
        return self.auth == "open"

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
        if self.sandbox is None and self.is_loopback and self.is_open:
            return True
        raise SettingsError(
            "No image provider: set OPENAI_API_KEY (and OPENAI_BASE_URL for another server), "
            "or GATEWAY_SANDBOX=true for painted test pictures"
        )

    @property
    def store_options(self) -> dict[str, str]:
        """What is set of an S3 store, under the names the store knows."""
        options = {
            "endpoint": self.store_endpoint,
            "region": self.store_region,
            "access_key_id": self.store_access_key_id and self.store_access_key_id.get_secret_value(),
            "secret_access_key": self.store_secret_access_key
            and self.store_secret_access_key.get_secret_value(),
        }
        return {name: value for name, value in options.items() if value}

    @property
    def trusted_hosts(self) -> list[str]:
        """The hosts of `GATEWAY_DOWNLOAD_HOSTS`."""
        return [host.strip() for host in self.download_hosts.split(",") if host.strip()]

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
    text = ""
    try:
        text = path.read_text("utf-8")
        config = FileConfig.model_validate(tomllib.loads(text))
    except OSError as error:
        raise SettingsError(f"GATEWAY_CONFIG: cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        lines = (
            f"{path}, line {_line_of(text, problem['loc'])}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}"
            for problem in error.errors()
        )
        raise SettingsError("\n".join(lines)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
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


def _line_of(text: str, location: tuple[int | str, ...]) -> int:
    """Return the line that completes the value at *location*, or at as much of it as there is.

    The parser tells no positions; but the first lines up to it are a document that
    has the value, and one line less are not.
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
    """Return the first line from *start* on that has the name *part*: lines before it need not be tried."""
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


def _is_url(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - read to check it: a port that is no number raises
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.netloc or parts.path)


def _is_redis_url(text: str) -> bool:
    """Whether *text* has the form of a Redis URL; several hosts in one (`a:1,b:2`) have no port to read."""
    scheme, _, rest = text.partition("://")
    if "+" not in scheme:
        return _is_url(text, _REDIS_SCHEMES)
    hosts, _, primary = rest.partition("?")[0].partition("/")
    return scheme in _REDIS_SCHEMES and bool(hosts) and ("sentinel" not in scheme or bool(primary))


def _describe(problem: Mapping[str, Any]) -> str:
    location = [str(part) for part in problem["loc"]]
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not location:
        return message
    name = "__".join(location).upper()
    return f"{name if name.startswith('OPENAI_') else f'GATEWAY_{name}'}: {message}"
