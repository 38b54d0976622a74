"""Room for bytes."""

from service.gateway.admission.held_bytes import ByteBudget, Room
from tests.fakes.telemetry import FakeTelemetry


def a_room() -> Room:
    """Return a room in memory that holds a gigabyte."""
    budget = ByteBudget("memory", most_bytes=2**30, share=1, telemetry=FakeTelemetry())
    return budget.room_for("ann")
