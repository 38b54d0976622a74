"""Load the catalogue of models: the built-in one, overlaid by the operator's entries."""

from importlib.resources import files

from service.domain.catalog import Catalog, CatalogError, parse_catalog
from service.settings.problems import SettingsError
from service.settings.variables import Settings


def load_catalog(settings: Settings) -> Catalog:
    """Return the overlaid catalogue; raises `CatalogError`."""
    text = (files("service.domain") / "models.toml").read_text("utf-8")
    return parse_catalog(text, settings.file.models)


def checked_models(settings: Settings) -> frozenset[str]:
    """Return the names of all models; checks those that declared policies name.

    Raises:
        SettingsError: an entry of the configuration file is wrong.
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
    return frozenset(catalog.models)
