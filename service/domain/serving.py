"""Join the catalogue with the offers of backends: each says which models it serves, and until when."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from service.domain.backends import Offer, ServedModel
from service.domain.catalog import Catalog, Model


def with_offers(catalog: Catalog, offers: Sequence[Offer]) -> Catalog:
    """Return *catalog* as the backends of *offers* serve it; without any, one provider serves all of it.

    The shutdown of a model becomes the last one of its backends, none if one of them serves it for ever. One that no
    backend has ever served keeps its own.
    """
    if not offers:
        return catalog
    explicit = tuple([replace(offer, models=_models_of(offer, catalog)) for offer in offers])
    models = {
        name: replace(model, shutdown=_last_shutdown(model, explicit))
        for name, model in catalog.models.items()
    }
    return replace(catalog, models=models, offers=explicit)


def ends_of(catalog: Catalog) -> Mapping[str, date | None]:
    """Return the end of each model at its own provider; one without a bridge is sent there for ever."""
    return {name: model.shutdown if model.bridge else None for name, model in catalog.models.items()}


def _models_of(offer: Offer, catalog: Catalog) -> Mapping[str, ServedModel]:
    """Return the models of *offer*: those it names, or all that the catalogue does not bridge at once."""
    if offer.models is not None:
        return offer.models
    return {
        name: ServedModel(name=name, shutdown=end)
        for name, end in ends_of(catalog).items()
        if end is not None or catalog.models[name].bridge is None
    }


def _last_shutdown(model: Model, offers: Sequence[Offer]) -> date | None:
    served = [offer.models[model.name] for offer in offers if offer.models and model.name in offer.models]
    dates = [each.shutdown for each in served if each.shutdown is not None]
    if len(dates) < len(served):
        return None
    return max(dates, default=model.shutdown)
