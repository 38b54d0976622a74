"""Every setting an operator can give as a variable, with its unit, its default and the reason for it.

`GATEWAY_*` variables (nested with `__`), and the provider's own as its SDKs read them.
Owns what each may be and which go together; `environment.py` reads them.
"""

import re
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from service.domain.hosts import is_loopback
from service.settings.file import FileConfig
from service.settings.policies import DefaultPolicy
from service.settings.problems import SettingsError
from service.settings.urls import STORE_SCHEMES, is_url, names_place

_WEEK_S = 7 * 86_400
"""S3 signs for no longer."""
_OPENAI_URL = "https://api.openai.com/v1"


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
    """Comma-separated, newest first; each at least 16 characters.

    Unset: made once, in the data directory; with a Redis of its own, only for an open gateway on loopback.
    """

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

    @field_validator("log_level", mode="before")
    @classmethod
    def _take_any_case(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

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
        if value is not None and not names_place(value.get_secret_value()):
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
        if value is not None and not is_url(value, ("http", "https")):
            raise ValueError("must be an http(s) URL, such as https://images.example.com")
        return value

    @field_validator("openai_base_url")
    @classmethod
    def _check_base_url(cls, value: str | None) -> str | None:
        if value is not None and (not is_url(value, ("http", "https")) or "@" in urlsplit(value).netloc):
            raise ValueError("must be an http(s) URL without credentials; the key goes into OPENAI_API_KEY")
        return value

    @field_validator("store_endpoint")
    @classmethod
    def _check_store_endpoint(cls, value: str | None) -> str | None:
        if value is not None and (not is_url(value, ("http", "https")) or "@" in urlsplit(value).netloc):
            raise ValueError("must be an http(s) URL without credentials, such as http://minio:9000")
        return value

    @field_validator("store_url")
    @classmethod
    def _check_store_url(cls, value: str | None) -> str | None:
        if value is not None and not is_url(value, STORE_SCHEMES):
            raise ValueError(
                f"must be a URL that starts with {', '.join(f'{name}://' for name in STORE_SCHEMES)}"
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
            missing = [name for name in ("issuer", "audience", "jwks") if not getattr(self.jwt, name)]
            if missing:
                names = ", ".join(f"GATEWAY_JWT__{name.upper()}" for name in missing)
                raise ValueError(f"GATEWAY_AUTH={self.auth} requires {names}")
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
        """Take values as they are given: `environment.py` reads them."""
        return (init_settings,)

    @property
    def is_open(self) -> bool:
        """Whether callers need no credentials."""
        return self.auth == "open"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the gateway."""
        return is_loopback(self.host)

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
