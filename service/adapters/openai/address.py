"""Describe a backend to its adapter: its place, its credentials, what it declares of itself, and how long it may take."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from service.domain.backends import ServedModel
from service.domain.images import Realm

ANY_QUALITY = "default"
"""Stands in `Timeouts.call_s` for each quality that it does not name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendAddress:
    """One key of a backend: the base URL, such as `https://api.openai.com/v1`, and the gateway's credentials there.

    *kind* names the dialect (`dialects.registry`), *key* the key in the configuration; without a name it is that of the
    environment. *models* are the names of models there, by those of the catalogue. *headers* are added to every request.
    *answers_for_itself*: its 502, 504 and 520 with an error are its own, so nothing was billed. *errors* `any`: an error
    body of any JSON shape is a complete answer. Parameters of *omit* are not sent. *api* and *api_version* are Azure's.
    """

    name: str
    realm: Realm
    url: str
    kind: str = "openai"
    key: str = ""
    api_key: str = field(default="", repr=False)
    models: Mapping[str, ServedModel] | None = None
    organization: str | None = field(default=None, repr=False)
    project: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    answers_for_itself: bool = False
    errors: Literal["openai", "any"] = "openai"
    omit: frozenset[str] = frozenset()
    api: Literal["classic", "v1"] = "v1"
    api_version: str | None = None

    @property
    def secrets(self) -> list[str]:
        """The values that no log may contain."""
        values = (self.api_key, self.organization, self.project, *self.headers.values())
        return [each for each in values if each]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds to wait for a pooled connection, to connect, and between two reads.

    A first packet that finds a server's queue full is sent again after 1, 3 and 7 s; and a busy process may look late at a
    connection that is there, while it opens one for each call of a burst.

    *call_s* has the longest time of a whole call, by the quality that it asks for, or as `default`; without one, only the
    caller of `make` ends it.
    """

    pool_s: float = 20.0
    connect_s: float = 10.0
    read_s: float = 300.0
    call_s: Mapping[str, float] = field(default_factory=dict)
