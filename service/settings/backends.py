"""Declare backends, `[[backends]]` of the configuration file: each a place that makes images, with its keys and models.

Failure behaviour: closed. A name that another kind of backend has is refused with that kind.
"""

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from service.domain.backends import KeyName, Offer, ServedModel
from service.domain.images import Operation
from service.settings.backend_keys import NO_KEY, KeyConfig, Name, Priority, Secret, locate
from service.settings.ordering import LONGEST_DEADLINE_S
from service.settings.urls import OPENAI_URL, is_base_url, is_header_value, is_url

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OWN_HEADERS = re.compile(
    r"accept|accept-encoding|connection|content-(length|type)|host|openai-(organization|project)|trailer|traceparent|"
    r"transfer-encoding|upgrade|user-agent"
)
"""Headers that the gateway or HTTP sets for every call."""
_KEY_HEADERS = ("authorization", "api-key")
_NEVER_OMITTED = ("prompt", "model", "image", "mask")

Kind = Literal["openai", "azure", "openai-compatible"]
Seconds = Annotated[float, Field(gt=0, le=LONGEST_DEADLINE_S)]


class ServedModelConfig(BaseModel):
    """A model that a backend serves, `[backends.models."<name>"]`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str | None = Field(None, pattern=r"^[!-~]{1,200}$")
    """Name of the model there: for Azure, the deployment. If unset, its own."""
    shutdown: date | None = None
    """Day from which this backend no longer serves it. If unset, the catalogue's for `openai`; never for other kinds."""


class TimeoutsConfig(BaseModel):
    """Longest time of a call, `timeouts_s` of `[[backends]]`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    low: Seconds | None = None
    """Seconds for quality `low`. If unset, `default`."""
    medium: Seconds | None = None
    """Seconds for quality `medium`. If unset, `default`."""
    high: Seconds | None = None
    """Seconds for quality `high`. If unset, `default`."""
    default: Seconds = 300.0
    """Seconds for `auto` and all other qualities."""

    def of(self, quality: object) -> float:
        """Return the longest time in seconds of a call with the sent *quality*."""
        own = {"low": self.low, "medium": self.medium, "high": self.high}.get(str(quality))
        return self.default if own is None else own


class BackendConfig(BaseModel):
    """A `[[backends]]` table of the configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Name
    """Name of the backend in metrics, logs and bookings; unique, 1 to 40 of `a-z`, `0-9` and `-`."""
    kind: Kind = "openai"
    """The protocol: OpenAI's, Azure's, or that of a server which speaks OpenAI's with the deviations declared below."""
    api: Literal["v1", "classic"] = "v1"
    """Azure only. `v1` names the deployment as `model`; `classic` has it in the path."""
    api_version: str | None = Field(None, pattern=r"^[A-Za-z0-9.-]{1,40}$", validate_default=True)
    """Azure only: version of the API, such as `2025-04-01-preview`. `classic` requires it."""
    url: str = Field("", validate_default=True)
    """Base URL. If unset, OpenAI's own; other kinds require it: for Azure the endpoint, such as
    `https://x.openai.azure.com`, for others the base URL, with `/v1` if the API has it.
    """
    priority: Priority = 1
    """Backends with a lower number are tried first; equal ones share by the weights of their keys. If unset, the place
    in the file: 1, 2 and so on.
    """
    keys: list[KeyConfig] = Field([], validate_default=True)
    """The keys, each a table with the names below. A server of kind `openai-compatible` may have none."""
    models: dict[str, ServedModelConfig] | None = Field(None, validate_default=True)
    """The models it serves: a list of names in the catalogue, or a table for each. If unset, all of them at `openai`; other
    kinds require it.
    """
    organization: str | None = None
    """Organization that calls name; not for Azure."""
    project: str | None = None
    """Project that calls name; not for Azure."""
    headers: dict[str, Secret] = {}
    """More headers of every call; their values are secret."""
    proxy: SecretStr | None = None
    """Proxy for calls to this backend, such as `http://proxy.corp:3128`. If unset, `HTTPS_PROXY` and `NO_PROXY` apply."""
    ca_file: Annotated[Path | None, BeforeValidator(locate)] = None
    """File of certificate authorities (PEM) to trust here instead of the system's."""
    timeouts_s: TimeoutsConfig = TimeoutsConfig()
    """Longest time of a call by quality; see below."""
    answers_for_itself: bool = False
    """If `true`, its 502, 504 and 520 with an error in OpenAI's form are its own answers, so the call was not billed."""
    operations: list[Literal["generate", "edit", "vary"]] = Field([], min_length=1)
    """`openai-compatible` only: the operations it has. If unset, `generate` and `edit`."""
    makes_several: bool = True
    """`openai-compatible` only. If `false`, it makes one image a call: the gateway sends a call for each."""
    errors: Literal["openai", "any"] = "openai"
    """`openai-compatible` only: the form of its errors. With `any`, every JSON text is a complete answer."""
    makes: Literal["png", "jpeg", "webp"] | None = None
    """`openai-compatible` only: the only format it makes; the gateway converts images to the format asked for."""
    masks: Literal["transparent", "white"] = "transparent"
    """`openai-compatible` only: the part of a mask that is edited. `white` keeps the black part."""
    omit: list[str] = []
    """`openai-compatible` only: parameters that it refuses, which are not sent."""

    def offer(self, ends: Mapping[str, date | None]) -> Offer:
        """Return the offer; *ends* has the shutdown of each model in the catalogue.

        For kind `openai`, a listed model without an end of its own takes the catalogue's here, so in an offer a listed
        model without an end is served for ever.
        """
        return Offer(
            backend=self.name,
            models=None if self.models is None else {name: self._served(name, ends) for name in self.models},
            operations=self.served_operations,
            makes_several=self.makes_several,
            makes=self.makes,
        )

    @property
    def served_operations(self) -> frozenset[Operation]:
        """The operations that it has: declared, or by its kind."""
        if self.operations:
            return frozenset(map(Operation, self.operations))
        return (
            frozenset(Operation) if self.kind == "openai" else frozenset({Operation.GENERATE, Operation.EDIT})
        )

    @property
    def key_names(self) -> list[KeyName]:
        """The names of its keys, in the order of the file."""
        return [KeyName(self.name, key.name) for key in self.keys]

    def _served(self, name: str, ends: Mapping[str, date | None]) -> ServedModel:
        own = (self.models or {})[name]
        end = own.shutdown or (ends.get(name) if self.kind == "openai" else None)
        return ServedModel(name=own.name or name, shutdown=end)

    @field_validator("api", "api_version")
    @classmethod
    def _check_azure(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            _require(info, "azure")
        elif info.data.get("api") == "classic":
            raise ValueError('api = "classic" needs a version, such as "2025-04-01-preview"')
        return value

    @field_validator("operations", "makes_several", "errors", "makes", "masks", "omit")
    @classmethod
    def _check_compatible(cls, value: Any, info: ValidationInfo) -> Any:
        _require(info, "openai-compatible")
        return value

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str, info: ValidationInfo) -> str:
        kind = info.data.get("kind")
        example = "https://x.openai.azure.com" if kind == "azure" else "http://images.corp:8000/v1"
        if not value:
            if kind in ("openai", None):
                return OPENAI_URL
            raise ValueError(f'kind = "{kind}" needs it, such as "{example}"')
        if not is_base_url(value):
            raise ValueError(
                f"must be an http(s) URL without credentials, such as {example}; keys go into keys"
            )
        if kind == "azure" and re.search(r"/openai/deployments|\?", value):
            raise ValueError(
                f"must be the endpoint alone, such as {example}, without a deployment and what follows"
            )
        return value

    @field_validator("keys", mode="before")
    @classmethod
    def _name_keys(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, list) or not all(isinstance(key, dict | KeyConfig) for key in value):
            raise ValueError(
                'must be a list of tables, such as keys = [{ name = "main", key_file = "openai.key" }]'
            )
        if not value and "kind" in info.data:
            if info.data["kind"] != "openai-compatible":
                raise ValueError(
                    'a backend needs a key, such as keys = [{ name = "main", key_file = "openai.key" }]'
                )
            return [KeyConfig.model_construct(name=NO_KEY, priority=info.data.get("priority", 1))]
        priority = info.data.get("priority", 1)
        return [
            {"name": f"key-{number}", "priority": priority, **key} if isinstance(key, dict) else key
            for number, key in enumerate(value, 1)
        ]

    @field_validator("models", mode="before")
    @classmethod
    def _list_models(cls, value: object, info: ValidationInfo) -> object:
        kind = info.data.get("kind", "openai")
        if value is None and kind == "openai":
            return None
        if not value:
            raise ValueError(
                'leave it out for all models, or list some, such as models = ["gpt-image-2"]'
                if kind == "openai"
                else f'kind = "{kind}" needs the models it serves, such as models = ["gpt-image-2"]'
            )
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            return {name: {} for name in value}
        if isinstance(value, dict):
            return value
        raise ValueError('must be a list of names, such as ["gpt-image-2"], or a table for each name')

    @field_validator("models")
    @classmethod
    def _check_deployments(
        cls, value: dict[str, ServedModelConfig] | None, info: ValidationInfo
    ) -> dict[str, ServedModelConfig] | None:
        for name, model in (value or {}).items():
            if info.data.get("kind") == "azure" and not re.fullmatch(
                r"[\w.-]{1,64}", model.name or name, re.ASCII
            ):
                raise ValueError(
                    f"{name}: the name of a deployment is 1 to 64 letters, digits, '-', '_' and '.'"
                )
        return value

    @field_validator("organization", "project")
    @classmethod
    def _check_account(cls, value: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("kind") == "azure":
            raise ValueError("Azure has none; its key alone names the account, so leave it out")
        if value is not None and not is_header_value(value):
            raise ValueError("must be one line of printable ASCII characters")
        return value

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        lower = {name.lower(): text for name, text in value.items()}
        for name in value:
            if not _HEADER.fullmatch(name):
                raise ValueError("the name of a header is letters, digits and '-', such as x-cost-centre")
            if name.lower() in _KEY_HEADERS:
                raise ValueError(f"{name} carries the key: it goes into keys")
            if _OWN_HEADERS.fullmatch(name.lower()):
                raise ValueError(f"{name} is set by the gateway; leave it out")
        if len(lower) < len(value):
            raise ValueError("names a header twice; upper and lower case are the same")
        return lower

    @field_validator("proxy")
    @classmethod
    def _check_proxy(cls, value: SecretStr | None) -> SecretStr | None:
        url = value.get_secret_value() if value is not None else OPENAI_URL
        if not is_url(url, ("http", "https")) or not urlsplit(url).hostname:
            raise ValueError("must be an http(s) URL, such as http://proxy.corp:3128")
        return value

    @field_validator("omit")
    @classmethod
    def _check_omit(cls, value: list[str]) -> list[str]:
        for name in value:
            if name in _NEVER_OMITTED:
                raise ValueError(f"no call goes without {name}")
            if not re.fullmatch(r"[a-z_]{1,64}", name):
                raise ValueError('lists names of parameters, such as ["quality", "user"]')
        return value


def _require(info: ValidationInfo, kind: Kind) -> None:
    """Check that the backend is of *kind*; raises `ValueError`."""
    given = info.data.get("kind", kind)
    if given != kind:
        raise ValueError(f'belongs to kind = "{kind}", and this backend is of kind "{given}"; leave it out')
