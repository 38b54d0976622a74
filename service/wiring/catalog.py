"""Load the catalogue of models: the built-in one, overlaid by the operator's entries, as the backends serve it."""

from importlib.resources import files

from service.domain.catalog import Catalog, CatalogError
from service.domain.models_file import parse_catalog
from service.domain.serving import ends_of, with_offers
from service.settings.problems import SettingsError
from service.settings.variables import Settings


def load_catalog(settings: Settings) -> Catalog:
    """Return the catalogue as the backends of *settings* serve it, the preferred first; raises `CatalogError`."""
    catalog = _read_catalog(settings)
    if settings.sandbox:
        return catalog
    backends, ends = sorted(settings.file.backends, key=lambda backend: backend.priority), ends_of(catalog)
    return with_offers(catalog, [backend.offer(ends) for backend in backends])


def checked_models(settings: Settings) -> frozenset[str]:
    """Return the names of all models; checks those that declared policies name.

    Raises:
        SettingsError: an entry of the configuration file is wrong.
    """
    try:
        catalog = _read_catalog(settings)
    except CatalogError as error:
        lines = (f"{settings.config}: {line}" for line in str(error).splitlines())
        raise SettingsError("\n".join(lines)) from error
    for name, policy in settings.file.policies.items():
        for model in policy.models:
            if model not in catalog.models:
                raise SettingsError(f"{settings.config}: policies.{name}.models: there is no model '{model}'")
    return frozenset(catalog.models)


def _read_catalog(settings: Settings) -> Catalog:
    text = (files("service.domain") / "models.toml").read_text("utf-8")
    return parse_catalog(text, settings.file.models)
