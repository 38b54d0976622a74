"""Describe the configuration in effect: which key makes what, in which order and how fast, and which models end when."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import groupby
from urllib.parse import urlsplit

from service.domain.backends import KeyName, Offer
from service.domain.catalog import Catalog, Model, as_bridged
from service.domain.images import Operation
from service.domain.serving import with_offers
from service.settings.backend_keys import KeyConfig
from service.settings.backends import BackendConfig
from service.settings.variables import Settings
from service.wiring.catalog import load_catalog


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPlan:
    """The part of a key: its *turn*, from 1, its *share* of the calls of that turn, and its bounds in each process.

    *images_per_min* is None without a pace.
    """

    name: KeyName
    turn: int
    share: float
    images_per_min: float | None
    calls_in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """A backend that makes images of a model, under its *name* there, until its *shutdown* there."""

    backend: str
    name: str
    shutdown: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPlan:
    """The way in which orders of a *model* are made, for those of *operations*.

    *own* are the backends that make it as ordered, *bridged_by* those that can only make *bridge_to* in its place: all of
    them if *own* is empty. *heir* is the model to which the bridge sends the orders once all of *own* have ended it.
    """

    model: str
    operations: tuple[Operation, ...]
    own: tuple[Making, ...]
    bridge_to: str = ""
    bridged_by: tuple[str, ...] = ()
    heir: str = ""


def configured_backends(settings: Settings) -> list[BackendConfig]:
    """Return the backends of the file, or the one that the variables of the provider set; none with the sandbox.

    Raises:
        SettingsError: no provider is set.
    """
    if settings.uses_sandbox:
        return []
    if settings.file.backends:
        return settings.file.backends
    only = settings.file.backend
    key = KeyConfig.model_construct(key=settings.openai_api_key, images_per_min=only.images_per_min)
    return [
        BackendConfig.model_construct(
            name=only.name,
            url=settings.provider_url,
            keys=[key],
            organization=settings.openai_org_id,
            project=settings.openai_project_id,
        )
    ]


def plan_keys(settings: Settings, backends: Sequence[BackendConfig]) -> list[KeyPlan]:
    """Return all keys in the order in which they are tried."""
    keys = sorted(
        ((key, KeyName(backend.name, key.name)) for backend in backends for key in backend.keys),
        key=lambda pair: pair[0].priority,
    )
    return [
        KeyPlan(
            name=name,
            turn=turn,
            share=key.weight / sum(other.weight for other, _ in equals),
            images_per_min=key.pace_share(replicas=settings.replicas),
            calls_in_flight=key.calls_share(
                replicas=settings.replicas, otherwise=settings.max_calls_in_flight
            ),
        )
        for turn, (_, group) in enumerate(groupby(keys, key=lambda pair: pair[0].priority), 1)
        for equals in [list(group)]
        for key, name in equals
    ]


def planned_catalog(settings: Settings, backends: Sequence[BackendConfig]) -> Catalog:
    """Return the catalogue as *backends* serve it, or the sandbox if there are none."""
    catalog = load_catalog(settings)
    if catalog.offers:
        return catalog
    return with_offers(catalog, [Offer(backend=backends[0].name if backends else "sandbox")])


def plan_models(catalog: Catalog, today: date) -> list[ModelPlan]:
    """Return the plans of all models that can be ordered *today*; one has several if operations differ."""
    return [plan for model in catalog.orderable(today) for plan in _plans_of(catalog, model, today)]


def find_unmade(catalog: Catalog, backends: Sequence[BackendConfig], today: date) -> list[str]:
    """Return a sentence about each model that *backends* list, or orders without a model ask for, and none makes *today*."""
    defaults = (catalog.default_model, catalog.default_gpt_image_model)
    listed = [name for backend in backends for name in backend.models or ()]
    sentences = []
    for name in dict.fromkeys([*listed, *defaults]):
        model = catalog.models[name]
        if catalog.is_orderable(model, today):
            continue
        asked = ", and orders without a model ask for it" if name in defaults else ""
        other = (
            f', nor {model.bridge.to}: [models."{name}".bridge] may name another model'
            if model.bridge
            else ""
        )
        sentences.append(f"{name} cannot be ordered{asked}: no backend serves it today{other}")
    return sentences


def find_repeated_keys(backends: Sequence[BackendConfig]) -> list[str]:
    """Return a sentence about each key of *backends* that has another name before, and makes the same models by it."""
    named = [(backend, key) for backend in backends for key in backend.keys]
    sentences = []
    for at, (backend, key) in enumerate(named):
        if not key.secret.get_secret_value():
            continue
        for other, twin in named[:at]:
            if twin.secret == key.secret and _share_limits(other, backend):
                names = f"{KeyName(other.name, twin.name)} and {KeyName(backend.name, key.name)}"
                sentences.append(
                    f"{names} have the same secret: the images a minute and the calls at once of its account count twice. "
                    "Keep one of them, or divide the numbers between them"
                )
                break
    return sentences


def _share_limits(one: BackendConfig, other: BackendConfig) -> bool:
    """Tell if a secret of both backends means one account, which makes a model for both."""
    accounts = [(urlsplit(each.url).netloc.lower(), each.organization, each.project) for each in (one, other)]
    # Without a list, a backend serves all models.
    lists = [
        {model.name or name for name, model in each.models.items()}
        for each in (one, other)
        if each.models is not None
    ]
    return accounts[0] == accounts[1] and (len(lists) < 2 or bool(lists[0] & lists[1]))


def _plans_of(catalog: Catalog, model: Model, today: date) -> Iterator[ModelPlan]:
    operations: dict[ModelPlan, list[Operation]] = {}
    for operation in catalog.as_ordered(model, today).contract.operations:
        operations.setdefault(_plan(catalog, model, today, operation), []).append(operation)
    for plan, alike in operations.items():
        yield replace(plan, operations=tuple(alike))


def _plan(catalog: Catalog, model: Model, today: date, operation: Operation) -> ModelPlan:
    """Return the plan of one *operation*, which it does not name."""
    own = tuple(_makings(catalog, model, catalog.backends_of(model, today, operation)))
    target = catalog.models[model.bridge.to] if model.bridge else None
    able = catalog.backends_of(target, today, as_bridged(operation)) if target else ()
    others = tuple(name for name in able if name not in {making.backend for making in own})
    ends = [making.shutdown for making in own if making.shutdown]
    heir = catalog.successor_of(model, max(ends), operation) if own and len(ends) == len(own) else None
    return ModelPlan(
        model=model.name,
        operations=(),
        own=own,
        bridge_to=target.name if target and others else "",
        bridged_by=others,
        heir=heir.name if heir else "",
    )


def _makings(catalog: Catalog, model: Model, backends: Iterable[str]) -> Iterator[Making]:
    offers = {offer.backend: offer.models or {} for offer in catalog.offers}
    for backend in backends:
        served = offers[backend][model.name]
        yield Making(backend=backend, name=served.name, shutdown=served.shutdown)
