"""Check the settings before the start, by building parts and reading files, without connections.

Failure behaviour: closed; the first wrong setting ends the start.
"""

from service.adapters.downloads import ImageDownloads
from service.adapters.storage.store import ObjectStore
from service.settings.problems import SettingsError
from service.settings.variables import Settings
from service.wiring.backend_checks import check_backends
from service.wiring.catalog import checked_models
from service.wiring.process import check_redis_url
from service.wiring.traces import check_traces


def check_settings(settings: Settings) -> None:
    """Check all settings; commands check only those they use.

    Raises:
        SettingsError: a setting is wrong; the message names it and a correct value.
    """
    check_backends(settings, checked_models(settings))
    _check_addresses(settings)
    check_redis_url(settings)
    if "jwt" in settings.auth:
        # Loaded on demand, as in `services.py`.
        from service.wiring.tokens import check_tokens  # noqa: PLC0415

        check_tokens(settings)
    check_traces(settings)


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
