"""Describe backends, the places that make images: their names, and the models that each serves until when."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from service.domain.images import STILL_FORMATS, Operation, Parameters


@dataclass(frozen=True, slots=True, order=True)
class KeyName:
    """The name of one key of a backend, from the configuration: metrics, logs and Redis know the key by it."""

    backend: str
    key: str

    def __str__(self) -> str:
        return f"{self.backend}/{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A model as a backend serves it: under the *name* that it has there, until its *shutdown* there."""

    name: str
    shutdown: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The offer of a *backend*: *models* by their names in the catalogue; None is all of them, until the catalogue's dates.

    Without *makes_several* a call makes one image. *makes* is the only format that it makes, if it makes but one.
    """

    backend: str
    models: Mapping[str, ServedModel] | None = None
    operations: frozenset[Operation] = frozenset(Operation)
    makes_several: bool = True
    makes: str | None = None

    def serves(self, model: str, today: date, operation: Operation | None = None) -> bool:
        """Tell if the backend makes images under the name of *model* today; with *operation*, if it offers that."""
        served = ServedModel(name=model) if self.models is None else self.models.get(model)
        if served is None or (served.shutdown is not None and served.shutdown <= today):
            return False
        return operation is None or operation in self.operations

    def gives(self, output_format: str, parameters: Parameters) -> bool:
        """Tell if its images can be given in *output_format*, as made or converted; JPEG has no transparency."""
        if self.makes is None:
            return True
        is_clear = parameters.get("background") == "transparent"
        return output_format in STILL_FORMATS and not (self.makes == "jpeg" and is_clear)
