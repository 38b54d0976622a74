"""Declare the keys of backends, and read their files.

Failure behaviour: closed. A file is read while the configuration file is, from the directory in the context of the
validation.
"""

import re
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from service.settings.policies import Counted
from service.settings.problems import looks_like_key
from service.settings.urls import is_header_value

NO_KEY = "none"
"""Name of the key of a server that asks for none."""


class SecretFile(BaseModel):
    """A file with one secret: its *path* and its *content*."""

    model_config = ConfigDict(frozen=True)

    path: Path
    content: SecretStr


def _check_name(name: str) -> str:
    if looks_like_key(name):
        raise ValueError(
            "looks like a key, and names are in logs and metrics; write keys into key or key_file"
        )
    if not re.fullmatch(r"[a-z0-9-]{1,40}", name):
        raise ValueError("a name is 1 to 40 of a-z, 0-9 and '-'")
    return name


def _check_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if not text or not is_header_value(text):
        raise ValueError("must be one line of printable ASCII characters")
    return secret


def locate(value: object, info: ValidationInfo) -> object:
    """Return the path *value* from the directory of the configuration file."""
    if not isinstance(value, str) or not value:
        raise ValueError("must be the path of a file, absolute or from the directory of this file")
    return Path((info.context or {}).get("directory", "."), value)


def _read_secret(value: object, info: ValidationInfo) -> object:
    if isinstance(value, SecretFile):
        return value
    path = Path(str(locate(value, info)))
    try:
        content = path.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "it is not UTF-8 text"
        raise ValueError(f"cannot read the file it names: {reason}") from error
    if not content:
        raise ValueError("the file it names is empty; write the key into it, on one line")
    return SecretFile(path=path, content=_check_secret(SecretStr(content)))


Name = Annotated[str, AfterValidator(_check_name)]
Priority = Annotated[int, Field(ge=1, le=1000)]
Secret = Annotated[SecretStr, AfterValidator(_check_secret)]


class KeyConfig(BaseModel):
    """A key of a backend, `keys` of `[[backends]]`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Name = "key-1"
    """Name of the key in metrics and logs; unique in its backend. If unset, `key-1`, `key-2` and so on."""
    key_file: Annotated[SecretFile | None, BeforeValidator(_read_secret)] = None
    """File with the key, absolute or from the directory of the configuration file."""
    key: Secret | None = Field(None, validate_default=True)
    """The key itself, instead of `key_file`."""
    weight: int = Field(1, ge=1, le=1000)
    """Share of the calls among keys of the same priority."""
    priority: Priority = 1
    """Keys with a lower number are tried first. If unset, the backend's."""
    images_per_min: Counted = 0
    """Images a minute that the account allows, for all gateways together; 0 sets no pace."""
    calls_in_flight: int | None = Field(None, ge=1)
    """Calls at a time that the account allows, for all gateways together. If unset, each process makes up to
    `GATEWAY_MAX_CALLS_IN_FLIGHT`.
    """

    @field_validator("key")
    @classmethod
    def _check_one_source(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if "key_file" in info.data and (value is None) == (info.data["key_file"] is None):
            raise ValueError("set either key_file, the path of a file with the key, or key")
        return value

    @property
    def secret(self) -> SecretStr:
        """The key, from its file or from the configuration; empty for a server that asks for none."""
        if self.key_file is not None:
            return self.key_file.content
        return self.key or SecretStr("")

    def calls_share(self, *, replicas: int, otherwise: int) -> int:
        """Return the calls at a time of one of *replicas* processes; *otherwise* is the number for keys that set none."""
        return otherwise if self.calls_in_flight is None else max(1, self.calls_in_flight // replicas)

    def pace_share(self, *, replicas: int) -> float | None:
        """Return the images a minute of one of *replicas* processes; None sets no pace."""
        return max(1.0, self.images_per_min / replicas) if self.images_per_min else None
