from collections.abc import AsyncIterator
from datetime import date

import pytest

from service.domain.errors import InvalidOrder
from service.gateway.accounts.usage import Usage, add_up, sum_up
from service.ports.ledger import LedgerEntry
from tests.fakes.clock import NOON, FakeClock
from tests.fakes.registrar import FakeLedger, a_ledger_entry

TODAY = NOON.date()


def a_usage(*entries: LedgerEntry) -> Usage:
    ledger = FakeLedger(*entries)
    return Usage(ledger=ledger, known=ledger, clock=FakeClock())


async def each(*entries: LedgerEntry) -> AsyncIterator[LedgerEntry]:
    for entry in entries:
        yield entry


def test_the_default_span_is_the_month_until_today() -> None:
    days = a_usage().days(None, None, most=31)

    assert (days[0], days[-1], len(days)) == (date(2026, 11, 1), TODAY, 20)


def test_a_span_begins_with_the_month_of_its_last_day() -> None:
    usage = a_usage()

    assert usage.days(None, date(2026, 2, 3), most=31) == [date(2026, 2, day) for day in (1, 2, 3)]
    assert usage.days(date(2026, 2, 28), date(2026, 3, 1), most=31) == [date(2026, 2, 28), date(2026, 3, 1)]
    assert usage.days(TODAY, None, most=1) == [TODAY]


@pytest.mark.parametrize("first", [date(2026, 11, 21), date(2026, 10, 20)])
def test_a_span_has_an_end_and_is_not_too_long(first: date) -> None:
    with pytest.raises(InvalidOrder, match="is not a span of 1 to 31 days") as caught:
        a_usage().days(first, None, most=31)

    assert caught.value.param == "from"


async def test_entries_are_of_all_teams_unless_one_is_named() -> None:
    design, sales = a_ledger_entry(), a_ledger_entry(team="sales", user="b" * 32)
    yesterday = a_ledger_entry(day="2026-11-19")
    usage = a_usage(sales, design, yesterday)

    assert [entry async for entry in usage.entries([TODAY])] == [design, sales]
    assert [entry async for entry in usage.entries([TODAY], team="sales")] == [sales]
    assert [entry async for entry in usage.entries([TODAY], team="sales", user="a" * 32)] == []


async def test_sums_are_as_coarse_as_asked() -> None:
    entries = [
        a_ledger_entry(model="b", images=2, microusd=5, unpriced=1),
        a_ledger_entry(model="a", day="2026-11-19"),
        a_ledger_entry(model="b", user="b" * 32, images=3, microusd=7, unpriced=2),
    ]

    blank = {"day": "", "team": "", "user": "", "backend": ""}
    assert await sum_up(each(*entries), ["model"]) == [
        a_ledger_entry(model="a", **blank),
        a_ledger_entry(model="b", images=5, microusd=12, unpriced=3, **blank),
    ]


async def test_realms_and_outcomes_are_never_added_up() -> None:
    entries = [
        a_ledger_entry(),
        a_ledger_entry(realm="sandbox"),
        a_ledger_entry(outcome="unknown"),
        a_ledger_entry(model="another", backend="azure"),
    ]

    for sums in (await sum_up(each(*entries), []), add_up(entries)):
        assert [(entry.realm, entry.outcome, entry.images) for entry in sums] == [
            ("live", "made", 2),
            ("live", "unknown", 1),
            ("sandbox", "made", 1),
        ]
        assert {entry.day + entry.team + entry.user + entry.model + entry.backend for entry in sums} == {""}


async def test_no_entries_add_up_to_none() -> None:
    assert (await sum_up(each(), ["day"]), add_up([])) == ([], [])
