"""The services of the HTTP layer, built by `wiring` and found in every request's state."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.types import Scope

from service.domain.catalog import Catalog
from service.domain.conditions import Condition
from service.gateway.accounts.administration import Administration
from service.gateway.accounts.identify import Callers
from service.gateway.accounts.usage import Usage
from service.gateway.admission.shared import SharedState
from service.gateway.images.ownership import Ownership
from service.gateway.images.purge import Purging
from service.gateway.order.run import Generate
from service.gateway.order.runner import OrderRunner
from service.ports.clock import Clock
from service.ports.imaging import InputReader
from service.ports.links import Links
from service.ports.store import ImageFiles
from service.ports.telemetry import Telemetry

Conditions = Mapping[str, Callable[[], Condition]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpServices:
    """Use cases and ports for the endpoints.

    *is_open* asks for no credentials; *metrics_key* opens `/metrics` where credentials are
    needed; *redirect_s* above 0 redirects readers of a file to the store itself, for that long;
    *conditions* are the rows of `/readyz?verbose`; *uploads* holds inputs while orders run.
    """

    generate: Generate
    runner: OrderRunner
    state: SharedState
    catalog: Catalog
    files: ImageFiles
    conditions: Conditions
    ownership: Ownership
    purging: Purging
    inputs: InputReader
    links: Links
    clock: Clock
    telemetry: Telemetry
    callers: Callers
    administration: Administration
    usage: Usage
    is_open: bool
    metrics_key: str | None
    redirect_s: int
    deadline_s: float
    caches: bool
    uploads: Path
    render_metrics: Callable[[], tuple[bytes, str]]


def services_of(scope: Scope) -> HttpServices:
    """Return the services of the application that handles *scope*."""
    services: HttpServices = scope["state"]["services"]
    return services
