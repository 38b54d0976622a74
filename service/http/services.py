"""What the HTTP layer works with, put together by `wiring` and found in every request's state."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.types import Scope

from service.domain.catalog import Catalog
from service.domain.images import Policy
from service.gateway.generate import Generate
from service.gateway.orders import OrderRunner
from service.gateway.state import SharedState
from service.ports import Clock, ImageFiles, InputPictures, Links, Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpServices:
    """Use cases and ports as endpoints need them.

    *person_key* hashes who calls; *uploads* is where inputs lie while orders run.
    """

    generate: Generate
    runner: OrderRunner
    state: SharedState
    catalog: Catalog
    files: ImageFiles
    inputs: InputPictures
    links: Links
    clock: Clock
    telemetry: Telemetry
    default_policy: Policy
    person_key: bytes
    deadline_s: float
    caches: bool
    uploads: Path
    render_metrics: Callable[[], tuple[bytes, str]]


def services_of(scope: Scope) -> HttpServices:
    """Return the services of the application that handles *scope*."""
    services: HttpServices = scope["state"]["services"]
    return services
