"""Hold the parts of one sandbox process together, for the endpoints."""

from dataclasses import dataclass

from service.sandbox.faults.conduct import Conduct
from service.sandbox.faults.proxy import FaultProxy
from service.sandbox.journal.journal import Journal
from service.sandbox.painting.studio import Studio
from service.sandbox.rules.models import Catalogue
from service.sandbox.rules.rate_limits import Rates
from service.sandbox.wire.kinds import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """All parts; *proxy* is None without `--fault-proxy`."""

    kind: Kind
    catalogue: Catalogue
    conduct: Conduct
    journal: Journal
    rates: Rates
    studio: Studio
    proxy: FaultProxy | None
