"""Whether what is set can work together: found out before anything is started, by building what can be built.

Files that are named are read. Failure behaviour: closed. Nothing is connected to; the first mistake ends the start.
"""

import httpx

from service.adapters.downloads import ImageDownloads
from service.adapters.jwks import JwksSource
from service.adapters.jwt import AlgorithmsRefused
from service.adapters.redis.client import open_client
from service.adapters.store import ObjectStore
from service.adapters.system import SystemClock
from service.domain.catalog import CatalogError
from service.settings.problems import SettingsError
from service.settings.variables import Settings
from service.wiring.callers import token_rules
from service.wiring.catalog import load_catalog


def check_settings(settings: Settings) -> None:
    """Check what no setting can tell by itself.

    Raises:
        SettingsError: naming the setting and what would be right.
    """
    try:
        catalog = load_catalog(settings)
    except CatalogError as error:
        lines = (f"{settings.config}: {line}" for line in str(error).splitlines())
        raise SettingsError("\n".join(lines)) from error
    for name, policy in settings.file.policies.items():
        for model in policy.models:
            if model not in catalog.models:
                raise SettingsError(f"{settings.config}: policies.{name}.models: there is no model '{model}'")
    _check_addresses(settings)
    if settings.redis_url is not None:
        _check_redis_url(settings.redis_url.get_secret_value())
    if "jwt" in settings.auth:
        _check_jwt(settings)


def _check_addresses(settings: Settings) -> None:
    try:
        ImageDownloads(settings.provider_url, trusted=settings.trusted_hosts)
    except ValueError as error:
        raise SettingsError(f"GATEWAY_DOWNLOAD_HOSTS: {error}") from error
    if settings.store_url is not None:
        try:
            ObjectStore(settings.store_url, options=settings.store_options)
        except ValueError as error:
            raise SettingsError(f"GATEWAY_STORE_URL: {error}") from error


def _check_redis_url(url: str) -> None:
    try:
        # Reads all of it, and connects to nothing.
        open_client(url, timeout_s=1, connections=1)
    except ValueError as error:
        raise SettingsError(f"GATEWAY_REDIS_URL: {error}") from None


def _check_jwt(settings: Settings) -> None:
    try:
        token_rules(settings)
    except AlgorithmsRefused as error:
        raise SettingsError(f"GATEWAY_JWT__ALGORITHMS: {error}") from error
    except ValueError as error:
        raise SettingsError(f"GATEWAY_JWT: {error}") from error
    try:
        JwksSource(settings.jwt.jwks, client=httpx.AsyncClient(), clock=SystemClock()).check_file()
    except OSError as error:
        raise SettingsError(f"GATEWAY_JWT__JWKS: cannot read the file it names: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"GATEWAY_JWT__JWKS: {error}") from error
