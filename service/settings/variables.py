"""Join all settings that are variables, and check them together.

They are `GATEWAY_*` variables (nested with `__`) and the provider's own. The other modules of this
package declare them by subject; `environment.py` reads them.
"""

from typing import Self

from pydantic import model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from service.settings.access import AccessSettings
from service.settings.file import FileConfig
from service.settings.images import ImageSettings
from service.settings.ordering import OrderSettings
from service.settings.problems import SettingsError
from service.settings.provider import ProviderSettings
from service.settings.redis import RedisSettings
from service.settings.server import ServerSettings


class Settings(
    # The last is read first: fields and errors keep the order of the subjects.
    ProviderSettings,
    OrderSettings,
    AccessSettings,
    ImageSettings,
    RedisSettings,
    ServerSettings,
    BaseSettings,
):
    """All settings."""

    model_config = SettingsConfigDict(
        env_prefix="GATEWAY_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        populate_by_name=True,
    )

    file: FileConfig = FileConfig()
    """Content of the configuration file; not a variable."""

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if not self.is_loopback and self.is_open and not self.allow_open:
            raise ValueError(
                "GATEWAY_HOST is not loopback and GATEWAY_AUTH is open: anyone could spend. "
                "Set GATEWAY_AUTH=keys, bind to 127.0.0.1, or set GATEWAY_ALLOW_OPEN=true where the network "
                "is trusted"
            )
        self.check_ports()
        if self.is_open and "*" in self.known_origins:
            raise ValueError(
                "GATEWAY_CORS_ORIGINS is * and GATEWAY_AUTH is open: every web page could spend. List the origins of "
                "your pages, such as https://app.corp, or set GATEWAY_AUTH=keys"
            )
        if not self.is_loopback and self.public_url is None:
            raise ValueError(
                "GATEWAY_PUBLIC_URL is required if GATEWAY_HOST is not loopback: links begin with it"
            )
        if self.redis_url is None and (self.replicas > 1 or not self.embedded_redis):
            raise ValueError("GATEWAY_REDIS_URL is required with several replicas or without embedded Redis")
        if self.redis_url is not None and self.secrets is None and not (self.is_loopback and self.is_open):
            raise ValueError(
                "GATEWAY_SECRETS is required with GATEWAY_REDIS_URL: all replicas must share them"
            )
        self.check_store()
        if "jwt" in self.auth:
            missing = [name for name in ("issuer", "audience", "jwks") if not getattr(self.jwt, name)]
            if missing:
                names = ", ".join(f"GATEWAY_JWT__{name.upper()}" for name in missing)
                raise ValueError(f"GATEWAY_AUTH={self.auth} requires {names}")
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
        """Take values from the constructor only: `environment.py` reads them."""
        return (init_settings,)

    @property
    def most_calls(self) -> int:
        """The most calls that a process has in flight, by all keys together."""
        shares = [
            key.calls_share(replicas=self.replicas, otherwise=self.max_calls_in_flight)
            for backend in self.file.backends
            for key in backend.keys
        ]
        return sum(shares) or self.max_calls_in_flight

    @property
    def uses_sandbox(self) -> bool:
        """Tell if the sandbox paints the images.

        Raises:
            SettingsError: no provider is set, and the sandbox must be chosen explicitly.
        """
        if self.sandbox:
            return True
        if self.file.backends or self.openai_api_key is not None or self.openai_base_url is not None:
            return False
        if self.sandbox is None and self.is_loopback and self.is_open:
            return True
        raise SettingsError(
            "No image provider: set OPENAI_API_KEY (and OPENAI_BASE_URL for another server), "
            "[[backends]] in the file of GATEWAY_CONFIG for several, or GATEWAY_SANDBOX=true for free test images"
        )
