"""Declare the settings of access: secrets, credentials and the keys of operators."""

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

# Schemes other than http: applications with a built-in browser, and extensions.
_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_WITH_DEFAULT_PORT = re.compile(r"http://.*:80|https://.*:443")


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


class AccessSettings(BaseModel):
    """The credentials that callers and operators need."""

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

    allowed_hosts: str = ""
    """Host names under which an open gateway answers, comma-separated, besides `localhost`, addresses and that of
    `GATEWAY_PUBLIC_URL`, such as `gateway` in a network of containers. Web pages of these hosts may order, too.
    """

    cors_origins: str = ""
    """Origins whose web pages may call the gateway from a browser (CORS), comma-separated, such as
    `https://app.corp`. `*` allows every page, and is refused for an open gateway, where pages could spend.
    """

    @field_validator("cors_origins")
    @classmethod
    def _check_cors_origins(cls, value: str) -> str:
        if any(
            not _ORIGIN.fullmatch(each) or _WITH_DEFAULT_PORT.fullmatch(each)
            for each in _split(value.lower())
        ):
            raise ValueError(
                "must be origins as browsers send them, comma-separated, without a path or a default port, such as "
                "https://app.corp,http://localhost:3000"
            )
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _check_allowed_hosts(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9._,\s-]*", value):
            raise ValueError("must be host names without ports, comma-separated, such as gateway,images.corp")
        return value

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

    @property
    def known_hosts(self) -> frozenset[str]:
        """The names of `GATEWAY_ALLOWED_HOSTS`."""
        return frozenset(_split(self.allowed_hosts.lower()))

    @property
    def known_origins(self) -> frozenset[str]:
        """The origins of `GATEWAY_CORS_ORIGINS`."""
        return frozenset(_split(self.cors_origins.lower()))

    @property
    def is_open(self) -> bool:
        """Tell if callers need no credentials."""
        return self.auth == "open"


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]
