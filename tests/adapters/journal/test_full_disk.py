"""A journal on a full disk, on a real file system of its own."""

import os
from pathlib import Path

import pytest

from tests.adapters.journal.journals import file_of, open_journal, settlement
from tests.adapters.storage.disks import small_disk
from tests.fakes.clock import FakeClock

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")


async def test_a_full_disk_takes_settlements_and_is_opened_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        async with open_journal(disk.path) as journal:
            disk.fill(but_bytes=0)
            taken = [await journal.add(settlement(part=f"{number}")) for number in range(200)]
        async with open_journal(disk.path) as journal:
            taken += [await journal.add(settlement(part=f"{number}")) for number in range(200, 400)]
            found = await journal.pending(1000)
            assert journal.condition.shown.word == "low"
        left = sorted(path.name for path in file_of(disk.path).parent.iterdir())

    assert taken == [True] * 400
    assert [one.part for one in found] == [f"{number}" for number in range(400)]
    assert "journal low on room" in caplog.text
    assert left == ["settlements.sqlite3", "settlements.sqlite3-journal"]


async def test_a_used_up_reserve_loses_nothing_and_is_filled_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    with small_disk(tmp_path / "disk") as disk:
        async with open_journal(disk.path, clock) as journal:
            disk.fill(but_bytes=0)
            for number in range(3000):
                journal.add(settlement(part=f"{number}"))
            assert not await journal.add(settlement("new", "ahead"), is_ahead=True)
            assert journal.condition.shown.word == "failing"
            written, pending = 0, await journal.pending(10_000)
            assert {one.part for one in pending} == {f"{number}" for number in range(3000)}

            # What Redis takes makes room for what waits in memory.
            await journal.remove(pending[:1000])
            clock.advance(5)
            assert len(await journal.pending(10_000)) == 2000
        async with open_journal(disk.path, clock) as journal:
            written = len(await journal.pending(10_000))

        assert written > 1500
        disk.free()
    assert caplog.text.count("journal failed") < 10


async def test_a_journal_that_begins_on_a_full_disk_waits_for_room(tmp_path: Path) -> None:
    clock = FakeClock()
    with small_disk(tmp_path / "disk") as disk:
        disk.fill(but_bytes=0)
        async with open_journal(disk.path, clock) as journal:
            assert not await journal.add(settlement(part="0"), is_ahead=True)
            assert not await journal.add(settlement(part="1"))
            assert journal.condition.shown.word == "failing"

            disk.free()
            clock.advance(5)
            assert [one.part for one in await journal.pending()] == ["1"]
            assert journal.condition.shown.word == "ok"
        async with open_journal(disk.path, clock) as journal:
            assert [one.part for one in await journal.pending()] == ["1"]
