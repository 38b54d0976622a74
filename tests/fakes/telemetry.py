"""Telemetry that remembers."""

from typing import TypeVar

from service.ports.telemetry import InFlight, TelemetryFact

Fact = TypeVar("Fact")


class FakeTelemetry:
    """Implements `ports.telemetry.Telemetry` as a list."""

    def __init__(self) -> None:
        self.facts: list[TelemetryFact] = []

    def record(self, fact: TelemetryFact) -> None:
        self.facts.append(fact)

    def of(self, kind: type[Fact]) -> list[Fact]:
        """Return the facts of one kind, in order."""
        return [fact for fact in self.facts if isinstance(fact, kind)]

    def in_flight(self) -> InFlight:
        """Return what is running now, by the sum of all that was told."""
        facts = self.of(InFlight)
        return InFlight(
            orders=sum(fact.orders for fact in facts),
            calls=sum(fact.calls for fact in facts),
            waiters=sum(fact.waiters for fact in facts),
        )
