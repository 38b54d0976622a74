"""Declare every setting an operator can give as a variable, with its unit, its default and the reason for it.

`GATEWAY_*` variables (nested with `__`), and the provider's own as its SDKs read them.
Owns the values of each and their combinations; `environment.py` reads them.
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

LONGEST_DEADLINE_S = 3600
"""Largest `GATEWAY_DEADLINE_S`."""
_WEEK_S = 7 * 86_400
"""S3 signs for no longer."""
_OPENAI_URL = "https://api.openai.com/v1"


class JwtConfig(BaseModel):
    """Tokens of an identity provider: `GATEWAY_JWT__*`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = ""
    """Issuer that a token must name in `iss`. Required if `GATEWAY_AUTH` includes `jwt`."""
    audience: str = ""
    """Accepted audiences, comma-separated; a token must name one of them in `aud`. Required with `jwt`."""
    jwks: str = ""
    """URL of the issuer's public keys (JWKS), or a file that exists at startup. Required with `jwt`."""
    algorithms: str = "RS256,ES256"
    """Accepted signature algorithms, comma-separated."""
    user_claim: str = "sub"
    """Claim that holds the user."""
    team_claim: str = "team"
    """Claim that holds the team."""
    policy_claim: str = "policy"
    """Claim that holds the policy of the user."""


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
    """Address to listen on."""
    port: int = Field(8080, ge=0, le=65535)
    """Port to listen on; 0 picks a free one."""
    workers: Literal[1] = 1
    """Processes of this replica; only one is supported."""
    replicas: int = Field(1, ge=1)
    """Gateways that share one Redis. Local shares of limits and the pace of calls are divided by it."""
    data_dir: Path = Path(".data")
    """Directory for images, the embedded Valkey, the outbox and the generated secret."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Lowest level to log, in upper or lower case."""
    config: Path | None = None
    """Path of the [configuration file](#configuration-file) (TOML)."""

    redis_url: SecretStr | None = None
    """URL of Redis 7 or newer, or Valkey: `redis://`, `rediss://`, `unix://`, `redis+cluster://host:port,host:port`
    or `redis+sentinel://host:port,host:port/master`. If unset, the gateway runs an embedded Valkey in the data
    directory.
    """
    redis_timeout_s: float = Field(0.25, gt=0, le=5)
    """Seconds without an answer after which Redis counts as unavailable."""
    embedded_redis: bool = True
    """If `false`, the gateway refuses to start without `GATEWAY_REDIS_URL`."""
    store_url: str | None = None
    """Where images are stored: `file:///path`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    Replicas share one store and one Redis. If unset, images go to `files` in the data directory.
    """
    store_endpoint: str | None = None
    """Endpoint of an `s3://` store outside AWS, such as `http://minio:9000`."""
    store_region: str | None = None
    """Region of an `s3://` store."""
    store_access_key_id: SecretStr | None = None
    """Access key of an `s3://` store. If unset, the gateway uses `AWS_*` variables or the machine's role, and for
    other stores `GOOGLE_*` or `AZURE_*`.
    """
    store_secret_access_key: SecretStr | None = None
    """Secret that belongs to the access key; set both or neither."""
    store_redirect_s: int = Field(0, ge=0, le=_WEEK_S)
    """If above 0, links redirect to a presigned store URL valid this many seconds, even if the image is deleted
    meanwhile.
    """
    download_hosts: str = ""
    """Hosts in your network that a provider's image URLs may point to, comma-separated, such as `cdn.corp:8443`. Other
    hosts must be public, or the provider's own.
    """
    retention_s: int = Field(0, ge=0)
    """Seconds an image is kept, but at least `GATEWAY_DEADLINE_S`; 0 keeps it forever."""
    retention_bytes: int = Field(0, ge=0)
    """Total size of the images of all teams; above it the oldest images are deleted. 0 sets no bound."""
    sweep_s: float = Field(60.0, gt=0, le=3600)
    """Seconds between retention sweeps."""
    public_url: str | None = None
    """URL at which callers reach the gateway, and the prefix of every link. If unset, `http://<host>:<port>`. Required
    if the gateway listens beyond loopback.
    """
    secrets: SecretStr | None = None
    """Secrets that sign links and hash keys, comma-separated, newest first, each of 16 characters or more; see
    [rotation](secrets.md). If unset, the gateway generates one in the data directory. Required with
    `GATEWAY_REDIS_URL`, except for an open gateway on loopback.
    """

    auth: Literal["open", "keys", "jwt", "keys,jwt"] = "open"
    """Credentials that callers need: none (`open`: everyone who reaches the port may order), API keys of this gateway
    (`keys`), tokens of your identity provider (`jwt`), or either.
    """
    admin_key: SecretStr | None = None
    """Key that opens `/admin`, even before any other key exists; 16 to 512 ASCII characters without spaces."""
    metrics_key: SecretStr | None = None
    """Key that opens `/metrics` and nothing else, for a scraper if callers need credentials; 16 to 512 ASCII
    characters without spaces.
    """
    jwt: JwtConfig = JwtConfig()
    """Tokens of an identity provider."""
    allow_open: bool = False
    """If `true`, an open gateway may listen beyond loopback: everyone who reaches it may spend."""
    sandbox: bool | None = None
    """If `true`, the sandbox always paints test images; if `false`, never. If unset, it does so only while no provider
    is set, the gateway listens on loopback and `GATEWAY_AUTH` is `open`.
    """

    moderation: Literal["off", "provider", "list"] = "off"
    """Check of prompts before anything is spent: none, the provider's moderation endpoint, or the words in
    [`[moderation]`](#moderation).
    """

    cache: Literal["on", "off"] = "on"
    """If `off`, every order is paid for."""
    cache_scope: Literal["user", "team"] = "team"
    """Callers that share cached images: a whole team, or each user alone."""
    cache_ttl_s: int = Field(30 * 86400, ge=60)
    """Seconds during which an equal order finds a cached image."""
    url_ttl_s: int = Field(0, ge=0)
    """Seconds a link works; with 0 it works as long as the image is kept."""

    deadline_s: float = Field(300.0, gt=0, le=LONGEST_DEADLINE_S)
    """Longest duration of an order in seconds; a caller may shorten it with `x-request-timeout-s`."""
    drain_s: float = Field(120.0, ge=0)
    """Seconds a stopping gateway waits for running orders."""
    max_calls_in_flight: int = Field(64, ge=1)
    """Concurrent calls to the provider."""
    default_policy: DefaultPolicy = DefaultPolicy()
    """Limits of a user without a policy."""
    unpriced: Literal["refuse", "count"] = "refuse"
    """Orders for a model without a known price by callers with a budget: refused, or made and counted as unpriced."""
    budgets_without_redis: Literal["refuse", "spend"] = "refuse"
    """Orders by callers with a budget while Redis is unavailable: refused with 503, or made and booked later."""

    openai_api_key: SecretStr | None = Field(None, validation_alias="OPENAI_API_KEY")
    """Key of the provider."""
    openai_base_url: str | None = Field(None, validation_alias="OPENAI_BASE_URL")
    """Base URL of the provider, with `/v1` if its API has it. If unset, OpenAI's own."""
    openai_org_id: str | None = Field(None, validation_alias="OPENAI_ORG_ID")
    """Organization that calls to the provider name."""
    openai_project_id: str | None = Field(None, validation_alias="OPENAI_PROJECT_ID")
    """Project that calls to the provider name."""

    file: FileConfig = FileConfig()
    """Content of the configuration file; not a variable."""

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
        # A key that no header can carry would lock its owner out.
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
        if value is not None and not _fits_header(value.get_secret_value()):
            raise ValueError("must be one line of ASCII characters")
        return value

    @field_validator("openai_org_id", "openai_project_id")
    @classmethod
    def _check_header(cls, value: str | None) -> str | None:
        if value is not None and not _fits_header(value):
            raise ValueError("must be one line of ASCII characters")
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
        """Tell if callers need no credentials."""
        return self.auth == "open"

    @property
    def is_loopback(self) -> bool:
        """Tell if only this machine can reach the gateway."""
        return is_loopback(self.host)

    @property
    def uses_sandbox(self) -> bool:
        """Tell if the sandbox paints the images.

        Raises:
            SettingsError: no provider is set, and the sandbox may not stand in by itself.
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
        """The settings of an S3 store, under the store's own names."""
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


def _fits_header(value: str) -> bool:
    return value.isascii() and value.isprintable()
