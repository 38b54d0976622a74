"""The models there are: the built-in catalogue and what the operator laid over it."""

from importlib.resources import files

from service.domain.catalog import Catalog, parse_catalog
from service.settings.variables import Settings


def load_catalog(settings: Settings) -> Catalog:
    """Return the built-in catalogue with the operator's entries laid over it; raises `CatalogError`."""
    text = (files("service.domain") / "models.toml").read_text("utf-8")
    return parse_catalog(text, settings.file.models)
