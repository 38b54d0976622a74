"""Telemetry that remembers."""

from typing import TypeVar

from service.ports.telemetry import TelemetryFact

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
