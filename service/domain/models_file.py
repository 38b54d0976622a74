"""Read the catalogue from `models.toml`, and merge an operator's entries into it."""

import tomllib
from collections.abc import Mapping
from typing import Any

from service.domain.catalog import Catalog, CatalogError, Model
from service.domain.entries import EntryFaults, read_entry, suggest


def parse_catalog(text: str, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Catalog:
    """Read the catalogue from TOML, and merge an operator's entries into it.

    An override may switch off a `bridge` or a `price` with `false`; fields it leaves out keep their value,
    and a new model needs a complete entry (a `family` completes it).

    Raises:
        CatalogError: with a line for each fault of an entry.
    """
    document = tomllib.loads(text)
    families = document["families"]
    entries: dict[str, dict[str, Any]] = {name: dict(entry) for name, entry in document["models"].items()}
    for name, entry in (overrides or {}).items():
        if name not in entries and "family" not in entry:
            near = suggest(name, document["models"])
            raise CatalogError(
                f"models.{name}: family is missing: one of {', '.join(families)} in a new model{near}"
            )
        entries[name] = _merge(entries.get(name, {}), entry)
    models = {name: _parse_model(name, entry, families) for name, entry in entries.items()}
    defaults = document["defaults"]
    catalog = Catalog(models, defaults["model"], defaults["gpt_image_model"])
    _check_bridges(catalog)
    return catalog


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _parse_model(name: str, entry: Mapping[str, Any], families: Mapping[str, Mapping[str, Any]]) -> Model:
    family = entry.get("family")
    if not isinstance(family, str) or family not in families:
        raise CatalogError(f"models.{name}: family must be one of {', '.join(families)}")
    fields = _merge(families[family], entry)
    weights = fields.get("weights")
    if isinstance(weights, Mapping) and any(type(each) is not int or each < 1 for each in weights.values()):
        raise CatalogError(f"models.{name}: weights must be whole numbers of at least 1")
    switched_off = [key for key in ("bridge", "price") if fields.get(key) is False]
    try:
        return read_entry(Model, {key: fields[key] for key in fields if key not in switched_off}, name=name)
    except EntryFaults as error:
        raise CatalogError("\n".join(f"models.{name}: {fault}" for fault in error.faults)) from error


def _check_bridges(catalog: Catalog) -> None:
    for name in (catalog.default_model, catalog.default_gpt_image_model):
        if name not in catalog.models:
            raise CatalogError(f"defaults: there is no model {name}")
    for model in catalog.models.values():
        target = catalog.models.get(model.bridge.to) if model.bridge else None
        if model.bridge and target is None:
            near = suggest(model.bridge.to, catalog.models)
            raise CatalogError(f"models.{model.name}.bridge.to: there is no model {model.bridge.to}{near}")
        if model.bridge and target and target.bridge is not None:
            raise CatalogError(
                f"models.{model.name}.bridge.to: {model.bridge.to} must be a model without a bridge"
            )
