"""All that one sandbox process holds.

Owns nothing itself; it is what the endpoints are given.
"""

from dataclasses import dataclass

from service.sandbox.behaviour import Conduct
from service.sandbox.faults import FaultProxy
from service.sandbox.journal import Journal
from service.sandbox.models import Catalogue
from service.sandbox.rates import Rates
from service.sandbox.studio import Studio


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """*proxy* is None unless the process was started with a fault proxy."""

    catalogue: Catalogue
    conduct: Conduct
    journal: Journal
    rates: Rates
    studio: Studio
    proxy: FaultProxy | None
