"""Check the settings before anything starts, by building every part that can be built.

Files that are named are read. Failure behaviour: closed. Nothing is connected to; the first mistake ends the start.
"""

from service.adapters.downloads import ImageDownloads
from service.adapters.storage.store import ObjectStore
from service.settings.problems import SettingsError
from service.settings.variables import Settings
from service.wiring.catalog import checked_models
from service.wiring.process import check_redis_url
from service.wiring.tokens import check_tokens


def check_settings(settings: Settings) -> None:
    """Check rules that span several settings; a command checks the part it uses.

    Raises:
        SettingsError: naming the setting and a correct value.
    """
    checked_models(settings)
    _check_addresses(settings)
    check_redis_url(settings)
    check_tokens(settings)


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
