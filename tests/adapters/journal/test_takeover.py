"""The files of an earlier version are taken over once."""

import os
from pathlib import Path

import orjson
import pytest

from tests.adapters.journal.journals import file_of, open_journal
from tests.adapters.journal.test_record import FILE, SETTLEMENT
from tests.fakes.clock import FakeClock


def write_old(directory: Path, name: str, *, part: str, at_s: float) -> None:
    """Write a file as the earlier version did, due at *at_s*."""
    (directory / "outbox").mkdir(exist_ok=True)
    path = directory / "outbox" / name
    path.write_bytes(orjson.dumps({**FILE, "part": part, "is_last": False}))
    os.utime(path, (at_s, at_s))


async def test_files_are_taken_over_oldest_first_and_gone(tmp_path: Path) -> None:
    clock = FakeClock()
    now_s = clock.wall_s()
    write_old(tmp_path, "b.json", part="old", at_s=now_s - 2)
    write_old(tmp_path, "a.json", part="young", at_s=now_s - 1)
    write_old(tmp_path, "c.foretold", part="ahead", at_s=now_s + 60)
    (tmp_path / "outbox" / "d.half").write_bytes(b'{"id"')

    async with open_journal(tmp_path, clock) as journal:
        taken = await journal.pending()
        assert await journal.has_image("shop", f"{'ab' * 32}.png")
        await journal.remove(taken)
        clock.advance(59)
        early = await journal.pending()
        clock.advance(1)
        due = await journal.pending()

    assert [one.part for one in taken] == ["old", "young"]
    assert taken[0].ticket == SETTLEMENT.ticket
    assert (early, [one.part for one in due]) == ([], ["ahead"])
    assert not (tmp_path / "outbox").exists()


async def test_an_unreadable_file_is_left_for_an_operator(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_old(tmp_path, "a.json", part="good", at_s=1)
    (tmp_path / "outbox" / "broken.json").write_bytes(b"{")

    for _ in range(2):
        async with open_journal(tmp_path) as journal:
            assert [one.part for one in await journal.pending()] == ["good"]

    assert [path.name for path in (tmp_path / "outbox").iterdir()] == ["broken.unreadable"]
    assert caplog.text.count("settlement unreadable") == 1


async def test_what_cannot_be_taken_over_now_is_later(tmp_path: Path) -> None:
    clock = FakeClock()
    write_old(tmp_path, "a.json", part="good", at_s=1)
    file_of(tmp_path).parent.write_text("in the way")
    async with open_journal(tmp_path, clock) as journal:
        assert await journal.pending() == []
        file_of(tmp_path).parent.unlink()
        clock.advance(5)

        assert [one.part for one in await journal.pending()] == ["good"]
