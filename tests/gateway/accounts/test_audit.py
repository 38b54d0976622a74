"""Acts are noted one way, and an act that cannot be noted is an error."""

import pytest

from service.domain.errors import StateUnavailable
from service.gateway.accounts.audit import Act, AuditTrail
from service.ports.audit import AuditEntry
from service.ports.telemetry import AdminActed
from tests.fakes.clock import FakeClock
from tests.fakes.storage import FakeAudit
from tests.fakes.telemetry import FakeTelemetry


async def test_an_act_is_stored_and_reported_with_its_details(clock: FakeClock) -> None:
    audit, telemetry = FakeAudit(), FakeTelemetry()

    await AuditTrail(audit, clock, telemetry).note(
        "key_1", Act.PUT_TEAM, "shop", {"policy": "none->tight", "user_policy": None}
    )

    entry = AuditEntry(
        at_s=int(clock.wall_s()), who="key_1", act="put_team", target="shop", details="policy=none->tight"
    )
    assert audit.entries == [entry]
    assert telemetry.facts == [AdminActed(entry=entry)]


async def test_an_act_that_was_not_stored_is_not_reported(clock: FakeClock) -> None:
    class Away(FakeAudit):
        async def note(self, entry: AuditEntry) -> None:
            raise StateUnavailable("timeout")

    telemetry = FakeTelemetry()

    with pytest.raises(StateUnavailable):
        await AuditTrail(Away(), clock, telemetry).note("bootstrap", Act.CLOSE_TEAM, "shop")

    assert telemetry.facts == []
