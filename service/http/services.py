"""Hold the services of the HTTP layer, which `wiring` builds and every request's state carries."""

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
from service.gateway.admission.held_bytes import ByteBudget
from service.gateway.images.ownership import Ownership
from service.gateway.images.purge import Purging
from service.gateway.order.estimate import Estimates
from service.gateway.order.run import Orders
from service.gateway.order.runner import OrderRunner
from service.gateway.scrapes import Scrapes
from service.http.front import StoreFront
from service.http.sites import Sites
from service.ports.clock import Clock
from service.ports.imaging import InputReader
from service.ports.links import Links
from service.ports.store import ImageFiles
from service.ports.telemetry import Telemetry
from service.ports.tracing import OpenRequestSpan
from service.ports.turns import Turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordering:
    """Services for orders; *uploads* is the directory of their inputs."""

    orders: Orders
    estimates: Estimates
    catalog: Catalog
    inputs: InputReader
    uploads: Path
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """The bytes of requests in this process, bodies in *memory* and files of orders on *disk*; turns at *estimates*."""

    memory: ByteBudget
    disk: ByteBudget
    estimates: Turns


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImages:
    """Services for stored images; *redirect_s* is the lifetime of redirects to the store, 0 for none.

    With a *front*, nginx may send the files.
    """

    files: ImageFiles
    front: StoreFront | None
    links: Links
    ownership: Ownership
    purging: Purging
    redirect_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Services for callers and admins.

    Without *sites* callers need credentials; with, none, and it says which web pages may call. *metrics_key* opens
    `/metrics` only, which moves to *metrics_port* if there is one.
    """

    callers: Callers
    allowance: Allowance
    usage: Usage
    administration: Administration
    sites: Sites | None
    metrics_key: str | None
    metrics_port: int | None

    @property
    def is_open(self) -> bool:
        return self.sites is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Services for operators; `/readyz?verbose` shows what *look* finds, by part."""

    runner: OrderRunner
    look: Callable[[], Mapping[str, Condition]]
    scrapes: Scrapes


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpServices:
    """All services of the endpoints, by subject; *note_trace_id* takes the id of a request's trace, for exemplars."""

    ordering: Ordering
    budgets: Budgets
    images: StoredImages
    accounts: Accounts
    operations: Operations
    clock: Clock
    telemetry: Telemetry
    note_trace_id: Callable[[str], object]
    open_request_span: OpenRequestSpan


def services_of(scope: Scope) -> HttpServices:
    services: HttpServices = scope["state"]["services"]
    return services
