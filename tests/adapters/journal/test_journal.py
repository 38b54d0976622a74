"""Settlements on disk are complete or absent, even if the process or the file fails."""

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from service.adapters.journal.journal import SqliteJournal
from service.adapters.process_names import ProcessNames
from service.ports.admission import Settlement
from tests.adapters.journal.journals import IMAGE, LEASE_S, file_of, open_journal, settlement
from tests.fakes.clock import FakeClock
from tests.processes import REPOSITORY


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    async with open_journal(tmp_path) as journal:
        yield journal


async def parts(journal: SqliteJournal) -> list[str]:
    """Return the numbers of the pending settlements."""
    return [one.part for one in await journal.pending()]


async def test_an_added_settlement_is_read_unchanged(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        assert await journal.add(settlement())

    async with open_journal(tmp_path) as journal:
        assert await journal.pending() == [settlement()]


async def test_what_is_not_awaited_is_written_before_the_journal_closes(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        for number in range(100):
            journal.add(settlement(part=f"{number}"))

    async with open_journal(tmp_path) as journal:
        assert await parts(journal) == [f"{number}" for number in range(100)]


async def test_the_oldest_comes_first_and_what_is_added_again_last(journal: SqliteJournal) -> None:
    for part in ("3", "1", "2", "3"):
        journal.add(settlement(part=part))

    assert await parts(journal) == ["1", "2", "3"]
    assert [one.part for one in await journal.pending(2)] == ["1", "2"]


async def test_the_wait_of_settlements_is_counted_from_the_last_empty_journal(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_journal(tmp_path, clock=clock) as journal:
        began_s, seen = clock.monotonic_s(), []
        for change in (None, settlement(part="1"), settlement(part="2"), [settlement(part="1")], None):
            clock.advance(10)
            if isinstance(change, list):
                journal.remove(change)
            elif change is not None:
                journal.add(change)
            await journal.pending()
            seen.append((journal.condition.settlements, journal.condition.pending_since_s))
        journal.remove([settlement(part="2")])
        await journal.pending()

    assert seen == [(0, None), *((settled, began_s + 20) for settled in (1, 2, 1, 1))]
    assert (journal.condition.settlements, journal.condition.pending_since_s) == (0, None)


async def test_the_last_of_an_order_waits_for_all_its_others(journal: SqliteJournal) -> None:
    for part, is_last in (("last", True), ("0.0", False), ("0.1", False)):
        journal.add(settlement(part=part, is_last=is_last))
    journal.add(settlement("other", "last", is_last=True))

    assert await parts(journal) == ["0.0", "0.1", "last"]
    # One that Redis rejects goes behind the others, and must not be overtaken.
    journal.remove([settlement(part="0.0"), settlement("other", "last")])
    journal.add(settlement(part="0.1"))
    assert await parts(journal) == ["0.1"]
    journal.remove([settlement(part="0.1")])
    assert await parts(journal) == ["last"]


async def test_what_is_written_ahead_is_pending_once_its_process_is_silent(tmp_path: Path) -> None:
    """However long the order runs: replayed before its end, it would be booked as unknown."""
    clock = FakeClock()
    async with open_journal(tmp_path, clock) as theirs:
        async with open_journal(tmp_path, clock) as ours:
            assert await ours.add(settlement(unknown=2), is_ahead=True)
            for _ in range(100):
                clock.advance(LEASE_S / 2)
                assert (await ours.pending(), await theirs.pending()) == ([], [])
            clock.advance(LEASE_S)
            assert await ours.pending() == []
            clock.advance(LEASE_S - 1)
            assert await theirs.pending() == []
        clock.advance(1)

        assert await theirs.pending() == [settlement(unknown=2)]


async def test_a_clock_that_jumps_takes_no_call_from_a_process_that_lives(tmp_path: Path) -> None:
    """Its call may end well: replayed before, it would be booked as unknown."""
    clock, names = FakeClock(), tmp_path / "processes"
    async with AsyncExitStack() as stack:
        our_names = stack.enter_context(ProcessNames(names, "ours"))
        their_names = ProcessNames(names, "theirs")
        ours = await stack.enter_async_context(open_journal(tmp_path, clock, our_names))
        theirs = await stack.enter_async_context(open_journal(tmp_path, clock, their_names))
        with suppress(InterruptedError), their_names:
            assert await theirs.add(settlement(unknown=2), is_ahead=True)
            clock.jump(10 * LEASE_S)

            assert (await ours.pending(), await theirs.pending()) == ([], [])
            raise InterruptedError

        # Its lock is free now, and its name still there.
        clock.advance(LEASE_S)
        assert await ours.pending() == [settlement(unknown=2)]


async def test_a_journal_is_tried_again_after_its_clock_was_set_back(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_journal(tmp_path, clock) as journal:
        file_of(tmp_path).write_bytes(b"no database " * 1000)
        assert not await journal.add(settlement(), is_ahead=True)
        assert journal.condition.shown.word == "failing"
        clock.jump(-3600)
        clock.advance(5)
        await journal.pending()

        assert journal.condition.shown.word == "ok"


@pytest.mark.parametrize("is_sent", [True, False])
async def test_an_end_replaces_what_was_written_ahead(tmp_path: Path, *, is_sent: bool) -> None:
    clock = FakeClock()
    async with open_journal(tmp_path, clock) as journal:
        journal.add(settlement(unknown=2), is_ahead=True)
        if is_sent:
            journal.remove([settlement()])
        else:
            journal.add(settlement())
    clock.advance(2 * LEASE_S)

    async with open_journal(tmp_path, clock) as journal:
        assert await journal.pending() == ([] if is_sent else [settlement()])


async def test_an_image_is_found_until_its_settlement_is_sent(tmp_path: Path) -> None:
    made = [replace(IMAGE, digest=f"{number:064x}") for number in range(250)]
    async with open_journal(tmp_path) as ours, open_journal(tmp_path) as theirs:
        added = [
            (ours if number % 2 else theirs).add(settlement(part=f"{number}", made=((None, image),)))
            for number, image in enumerate(made)
        ]
        assert all([await each for each in added])

        assert all([await theirs.has_image("open", image.name) for image in made])
        assert not await ours.has_image("other", made[0].name)
        assert not await ours.has_image("open", IMAGE.name)
        await theirs.remove([settlement(part="0")])
        assert [await ours.has_image("open", image.name) for image in made[:2]] == [False, True]


async def test_removing_a_missing_settlement_is_no_error(journal: SqliteJournal) -> None:
    journal.add(settlement(part="1"))
    journal.add(settlement(part="2"))

    for _ in range(2):
        assert await journal.remove([settlement(part="1"), settlement(part="never")])

    assert await parts(journal) == ["2"]


@pytest.mark.parametrize("strange", ["../../escape", "a/b", "a\x00b", "x" * 5000, ""], ids=repr)
async def test_any_id_is_only_a_value(journal: SqliteJournal, strange: str) -> None:
    journal.add(settlement(strange))

    assert [one.ticket.id for one in await journal.pending()] == [strange]


async def test_an_unreadable_settlement_is_set_aside(
    tmp_path: Path, journal: SqliteJournal, caplog: pytest.LogCaptureFixture
) -> None:
    for part in ("1", "2"):
        await journal.add(settlement(part=part))
    with closing(sqlite3.connect(file_of(tmp_path))) as other, other:
        other.execute("PRAGMA journal_mode=PERSIST")
        other.execute("UPDATE settlements SET content = '{' WHERE part = '1'")

    assert await parts(journal) == ["2"]
    assert "settlement unreadable" in caplog.text
    caplog.clear()
    assert await parts(journal) == ["2"]
    assert caplog.text == ""


async def test_a_damaged_file_is_set_aside_and_a_new_one_begun(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file_of(tmp_path).parent.mkdir()
    file_of(tmp_path).write_bytes(b"no database " * 1000)

    async with open_journal(tmp_path) as journal:
        assert await journal.add(settlement())
        assert await journal.pending() == [settlement()]

    assert file_of(tmp_path).with_suffix(".unreadable").read_bytes().startswith(b"no database")
    assert "journal unreadable" in caplog.text


async def test_a_file_that_is_damaged_while_it_is_open_loses_no_later_settlement(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        await journal.add(settlement(part="before"))
        file_of(tmp_path).write_bytes(b"no database " * 1000)

        await journal.add(settlement(part="1"))
        await journal.pending()
        await journal.add(settlement(part="2"))

        assert {"1", "2"} <= set(await parts(journal))


async def test_a_file_that_is_deleted_is_made_again(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        await journal.add(settlement(part="1"))
        for path in file_of(tmp_path).parent.iterdir():
            path.unlink()

        await journal.add(settlement(part="2"))
        await journal.pending()

        assert "2" in await parts(journal)
    async with open_journal(tmp_path) as journal:
        assert "2" in await parts(journal)


async def test_a_directory_that_cannot_be_written_loses_nothing_while_the_process_lives(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    in_the_way = tmp_path / "journal"
    in_the_way.write_text("in the way")
    async with open_journal(tmp_path, clock) as journal:
        assert not await journal.add(settlement(part="0"), is_ahead=True)
        assert not await journal.add(settlement(part="1"))
        assert not await journal.add(settlement(part="2"))
        assert await journal.has_image("open", IMAGE.name)
        assert (await parts(journal), journal.condition.shown.word) == (["1", "2"], "failing")
        assert caplog.text.count("journal failed") == 1
        journal.remove([settlement(part="1")])
        assert await parts(journal) == ["2"]

        in_the_way.unlink()
        clock.advance(5)
        assert (await parts(journal), journal.condition.shown.word) == (["2"], "ok")
        assert "journal works again" in caplog.text
    async with open_journal(tmp_path) as journal:
        assert await parts(journal) == ["2"]


async def test_the_last_of_an_order_waits_for_others_in_memory(tmp_path: Path) -> None:
    in_the_way = tmp_path / "journal"
    in_the_way.write_text("in the way")
    async with open_journal(tmp_path) as journal:
        journal.add(settlement(part="last", is_last=True))
        journal.add(settlement(part="0.0"))

        assert await parts(journal) == ["0.0"]
        in_the_way.unlink()
        assert await parts(journal) == ["0.0"]
        await journal.remove([settlement(part="0.0")])
        assert await parts(journal) == ["last"]


async def test_a_locked_file_delays_no_other_work(tmp_path: Path, journal: SqliteJournal) -> None:
    with closing(sqlite3.connect(file_of(tmp_path), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        adding = journal.add(settlement())
        turns = 0
        while turns < 20:
            await asyncio.sleep(0.005)
            turns += 1
        assert not isinstance(adding, asyncio.Future) or not adding.done()
        other.execute("ROLLBACK")

        assert await adding


async def test_the_files_are_private_and_keep_their_size(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        await journal.add(settlement(part="first"))
        sizes = {path.name: path.stat().st_size for path in file_of(tmp_path).parent.iterdir()}
        for number in range(1000):
            journal.add(settlement(part=f"{number}"))
        while pending := await journal.pending():
            journal.remove(pending)
    async with open_journal(tmp_path):
        pass

    files = list(file_of(tmp_path).parent.iterdir())
    assert {path.name: path.stat().st_size for path in files} == sizes
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert file_of(tmp_path).parent.stat().st_mode & 0o777 == 0o700


def test_a_process_that_is_killed_while_writing_leaves_only_whole_settlements(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys, itertools\n"
        "from pathlib import Path\n"
        "from tests.adapters.journal.journals import settlement, open_journal\n"
        "async def main():\n"
        "    async with open_journal(Path(sys.argv[1])) as journal:\n"
        "        for number in itertools.count():\n"
        "            await journal.add(settlement(part=str(number)))\n"
        "            print(number, flush=True)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(50)][-1]
        writer.kill()

    async def read() -> list[Settlement]:
        async with open_journal(tmp_path) as journal:
            return await journal.pending(100_000)

    kept = asyncio.run(read())
    assert len(kept) > told
    assert kept == [settlement(part=str(number)) for number in range(len(kept))]


async def test_several_processes_may_empty_one_file(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as ours, open_journal(tmp_path) as theirs, asyncio.TaskGroup() as group:

        async def empty() -> int:
            rounds = 0
            while not is_over.is_set():
                await theirs.remove(await theirs.pending())
                rounds += 1
            return rounds

        is_over = asyncio.Event()
        racing = group.create_task(empty())
        for number in range(200):
            await ours.add(settlement(part=f"{number}"))
            await ours.pending()
        is_over.set()
        assert await racing > 0
        while pending := await ours.pending():
            await ours.remove(pending)
        assert await theirs.pending() == []


async def test_what_waits_together_is_committed_together(
    journal: SqliteJournal, capsys: pytest.CaptureFixture[str]
) -> None:
    started_s = time.perf_counter()
    added = [journal.add(settlement(part=f"{number}")) for number in range(500)]
    assert all([await each for each in added])

    with capsys.disabled():
        sys.stdout.write(f"500 settlements: {(time.perf_counter() - started_s) * 1e3:.0f} ms\n")
    assert len(await journal.pending(1000)) == 500


async def test_one_settlement_that_cannot_be_encoded_takes_no_other_with_it(tmp_path: Path) -> None:
    broken = settlement(part="1", made=((None, replace(IMAGE, revised_prompt="half a \ud83e")),))
    async with open_journal(tmp_path) as journal:
        added = [journal.add(one) for one in (settlement(part="0"), broken, settlement(part="2"))]

        assert [await each for each in added] == [True, False, True]
        # It is sent to Redis from memory.
        assert sorted(await parts(journal)) == ["0", "1", "2"]
        assert await journal.has_image("open", IMAGE.name)
        assert (await journal.add(broken, is_ahead=True), await parts(journal)) == (False, ["0", "2"])
        assert await journal.add(settlement(part="3"))

    async with open_journal(tmp_path) as journal:
        assert await parts(journal) == ["0", "2", "3"]
