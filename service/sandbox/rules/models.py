"""List the models of November 2026 with their shutdown dates and allowed values.

Checks no requests (`gpt_image`, `dalle`). The table follows the wire contract alone and shares nothing with the
gateway's own, so that neither repeats a mistake of the other unseen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum

from service.sandbox.wire.error_envelope import Refusal, missing_model, unknown_model


class Contract(StrEnum):
    """The generations of the wire contract; they have few parameters in common."""

    GPT_IMAGE = "gpt-image"
    DALLE = "dall-e"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model name that requests may use.

    *sizes* None allows any size within the pixel rules; without *fidelities* the parameter is refused. Only a model that
    *ignores_body_name* tolerates a `model` in the body beside the deployment in Azure's classic path.
    """

    name: str
    released: date
    qualities: tuple[str, ...]
    contract: Contract = Contract.GPT_IMAGE
    sizes: tuple[str, ...] | None = None
    fidelities: tuple[str, ...] = ()
    has_complexity: bool = False
    has_markup: bool = False
    ignores_body_name: bool = False
    shutdown: date | None = None
    longest_prompt: int = 32_000
    images_max: int = 10


class UnknownModel(Exception):
    """No model has this name, whatever the date."""


class Catalogue:
    """Finds models as of *today*, or of the real date if that is None.

    With *deployments*, models by name, it has these only, and for ever. *refuse_unknown* makes the refusal of an order for
    an unknown or retired name. Raises `UnknownModel`.
    """

    def __init__(
        self,
        *,
        today: date | None = None,
        legacy_dalle: bool = False,
        deployments: Mapping[str, str] | None = None,
        refuse_unknown: Callable[[str], Refusal] = unknown_model,
    ) -> None:
        models = _gpt_models() + (_dalle_models() if legacy_dalle else [])
        self._models = {model.name: model for model in models}
        if deployments:
            self._models = {name: _find_deployable(model) for name, model in deployments.items()}
        self._today = today
        self._is_dated = not deployments
        self._refuse_unknown = refuse_unknown
        self.default_model = "dall-e-2" if legacy_dalle and not deployments else None

    def find(self, name: str) -> Model:
        """Return the model for an image request; raises the refusal of unknown and retired names."""
        model = self._models.get(name)
        if model is None or not self._is_alive(model):
            raise self._refuse_unknown(name)
        return model

    def describe(self, name: str) -> Model:
        """Return the model for `/v1/models/{name}`; raises the 404."""
        model = self._models.get(name)
        if model is None or not self._is_alive(model):
            raise missing_model(name)
        return model

    def alive(self) -> dict[str, Model]:
        """Return the models by the name that requests use."""
        return {name: model for name, model in self._models.items() if self._is_alive(model)}

    def _is_alive(self, model: Model) -> bool:
        today = self._today or datetime.now(UTC).date()
        return not self._is_dated or model.shutdown is None or today < model.shutdown


def _find_deployable(name: str) -> Model:
    """Return a model that servers other than OpenAI may still have, after its shutdown there too."""
    models = {model.name: model for model in (*_gpt_models(), *_dalle_models())}
    if name not in models:
        raise UnknownModel(f"{name} is no model; these are: {', '.join(models)}")
    return models[name]


_USUAL = ("low", "medium", "high", "auto")
_WIDER = ("low", "medium", "high", "xhigh", "max", "auto")
_BOTH = ("high", "low")
_FOUR_SIZES = ("1024x1024", "1024x1536", "1536x1024", "auto")
_LAST_SHUTDOWN = date(2026, 10, 23)
_NEXT_SHUTDOWN = date(2026, 12, 1)


def _gpt_models() -> list[Model]:
    december = date(2025, 12, 16)
    april, september, november = date(2026, 4, 21), date(2026, 9, 8), date(2026, 11, 4)
    models = [
        Model(name=f"gpt-image-2{dated}", released=april, qualities=_USUAL) for dated in ("", "-2026-04-21")
    ]
    models += [
        Model(name=f"gpt-image-2.5-{variety}{dated}", released=september, qualities=_WIDER, has_markup=True)
        for variety in ("sunburst", "flare")
        for dated in ("", "-2026-09-08")
    ]
    models += [
        Model(name=f"gpt-image-2.6-{variety}", released=november, qualities=_WIDER, has_complexity=True)
        for variety in ("sunburst", "flare")
    ]
    models += [
        Model(
            name=name,
            released=released,
            qualities=_USUAL,
            sizes=_FOUR_SIZES,
            fidelities=fidelities,
            ignores_body_name=True,
            shutdown=shutdown,
        )
        for name, released, fidelities, shutdown in (
            ("gpt-image-1", date(2025, 4, 23), _BOTH, _LAST_SHUTDOWN),
            ("gpt-image-1.5", december, _BOTH, _NEXT_SHUTDOWN),
            ("gpt-image-1.5-2025-12-16", december, _BOTH, _NEXT_SHUTDOWN),
            ("gpt-image-1-mini", date(2025, 10, 6), ("low",), _NEXT_SHUTDOWN),
            (
                "chatgpt-image-latest",
                december,
                _BOTH,
                _NEXT_SHUTDOWN,
            ),  # undocumented; taken for 1.5 under another name
        )
    ]
    return models


def _dalle_models() -> list[Model]:
    return [
        Model(
            name="dall-e-2",
            released=date(2022, 11, 3),
            contract=Contract.DALLE,
            ignores_body_name=True,
            qualities=("standard",),
            sizes=("256x256", "512x512", "1024x1024"),
            longest_prompt=1_000,
        ),
        Model(
            name="dall-e-3",
            released=date(2023, 11, 6),
            contract=Contract.DALLE,
            ignores_body_name=True,
            qualities=("standard", "hd"),
            sizes=("1024x1024", "1792x1024", "1024x1792"),
            longest_prompt=4_000,
            images_max=1,
        ),
    ]
