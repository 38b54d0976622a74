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
from service.gateway.admission.allowance import Allowance
from service.gateway.images.ownership import Ownership
from service.gateway.images.purge import Purging
from service.gateway.order.run import Orders
from service.gateway.order.runner import OrderRunner
from service.ports.clock import Clock
from service.ports.imaging import InputReader
from service.ports.links import Links
from service.ports.store import ImageFiles
from service.ports.telemetry import Telemetry

Conditions = Mapping[str, Callable[[], Condition]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordering:
    """Serves orders; *uploads* holds their inputs while they run."""

    orders: Orders
    catalog: Catalog
    inputs: InputReader
    uploads: Path
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImages:
    """Serves stored images; *redirect_s* above 0 redirects readers of a file to the store itself, for that long."""

    files: ImageFiles
    links: Links
    ownership: Ownership
    purging: Purging
    redirect_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Serves callers and admins.

    *is_open* asks for no credentials; *metrics_key* opens `/metrics` where credentials are needed.
    """

    callers: Callers
    allowance: Allowance
    usage: Usage
    administration: Administration
    is_open: bool
    metrics_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Serves operators; *conditions* are the rows of `/readyz?verbose`."""

    runner: OrderRunner
    conditions: Conditions
    render_metrics: Callable[[], tuple[bytes, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpServices:
    """Use cases and ports for the endpoints, by their subject."""

    ordering: Ordering
    images: StoredImages
    accounts: Accounts
    operations: Operations
    clock: Clock
    telemetry: Telemetry


def services_of(scope: Scope) -> HttpServices:
    """Return the services of the application that handles *scope*."""
    services: HttpServices = scope["state"]["services"]
    return services
