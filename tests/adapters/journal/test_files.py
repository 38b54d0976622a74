"""Settlements on disk are complete or absent, even if the process or the directory fails."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.adapters.clock import SystemClock
from service.adapters.journal.files import FileJournal
from service.domain.images import Image, Realm
from service.domain.limits import Limit, Resource
from service.ports.admission import Settlement
from service.ports.clock import Clock
from tests.fakes.clock import FakeClock
from tests.fakes.values import a_settlement, a_ticket
from tests.processes import REPOSITORY

IMAGE = Image(
    digest="ab" * 32,
    format="png",
    width=1024,
    height=1024,
    size_bytes=7,
    created_s=1,
    revised_prompt="a \N{EAGLE}",
    usage={"output_tokens": 5, "input_tokens_details": {"text_tokens": 1}},
    resolved={"size": "1024x1024"},
    cost_microusd=None,
)


def settlement(order_id: str = "order", part: str = "0.0", **fields: Any) -> Settlement:
    ticket = a_ticket(
        id=order_id,
        model="gpt-image-2",
        realm=Realm.LIVE,
        pool=None,
        limits=(Limit(resource=Resource.IMAGES, scope="user", key="ann", amount=5),),
    )
    outcome: dict[str, Any] = {"made": ((3, IMAGE), (None, IMAGE)), "forgotten": ((1, "cd"),)}
    return a_settlement(ticket=ticket, part=part, **{**outcome, **fields})


def open_journal(directory: Path, clock: Clock | None = None) -> FileJournal:
    return FileJournal(directory, clock=clock or SystemClock())


def test_an_added_settlement_is_read_unchanged(tmp_path: Path) -> None:
    open_journal(tmp_path).add(settlement())

    assert open_journal(tmp_path).pending() == [settlement()]


def test_the_oldest_comes_first(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    for number in (3, 1, 2):
        journal.add(settlement(part=f"{number}"))
        _age_files(tmp_path)

    assert [one.part for one in journal.pending()] == ["3", "1", "2"]


def _age_files(directory: Path) -> None:
    for path in directory.iterdir():
        earlier_ns = path.stat().st_mtime_ns - 1_000_000_000
        os.utime(path, ns=(earlier_ns, earlier_ns))


def test_a_settlement_added_twice_is_stored_once(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.add(settlement())
    journal.add(settlement())

    assert len(journal.pending()) == 1


def test_a_delayed_settlement_becomes_pending_on_time(tmp_path: Path) -> None:
    clock = FakeClock()
    open_journal(tmp_path, clock).add(settlement(unknown=2), after_s=330)

    clock.advance(329)
    early = open_journal(tmp_path, clock).pending()
    clock.advance(1)

    assert early == []
    assert open_journal(tmp_path, clock).pending() == [settlement(unknown=2)]


def test_a_settlement_replaces_its_delayed_version(tmp_path: Path) -> None:
    clock = FakeClock()
    journal = open_journal(tmp_path, clock)
    journal.add(settlement(unknown=2), after_s=1)
    journal.add(settlement())
    clock.advance(2)

    assert journal.pending() == [settlement()]
    journal.remove([settlement()])
    assert journal.pending() == []


def test_a_delayed_settlement_that_was_sent_is_removed(tmp_path: Path) -> None:
    clock = FakeClock()
    journal = open_journal(tmp_path, clock)
    journal.add(settlement(unknown=2), after_s=1)
    journal.remove([settlement()])
    clock.advance(2)

    assert journal.pending() == []
    assert list(tmp_path.iterdir()) == []


async def test_an_image_is_found_until_its_settlement_is_sent(tmp_path: Path) -> None:
    ours, theirs = open_journal(tmp_path), open_journal(tmp_path)
    made = [replace(IMAGE, digest=f"{number:064x}") for number in range(250)]
    for number, image in enumerate(made):
        journal = ours if number % 2 else theirs
        journal.add(settlement(part=f"{number}", made=((None, image),)))

    assert all([await ours.has_image("open", image.name) for image in made])
    assert not await ours.has_image("other", IMAGE.name)
    assert not await ours.has_image("open", IMAGE.name)
    theirs.remove([settlement(part="0")])
    assert [await ours.has_image("open", image.name) for image in made[:2]] == [False, True]


async def test_a_delayed_settlement_has_no_images(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.add(settlement(), after_s=60)

    assert not await journal.has_image("open", IMAGE.name)
    assert not await open_journal(tmp_path / "missing").has_image("open", IMAGE.name)


async def test_a_search_for_images_reads_each_file_once(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.add(settlement())
    assert await journal.has_image("open", IMAGE.name)

    _spoil_files(tmp_path)

    assert await journal.has_image("open", IMAGE.name)


def _spoil_files(directory: Path) -> None:
    for path in directory.iterdir():
        path.write_bytes(b"{")


async def test_a_slow_disk_delays_no_other_work(tmp_path: Path) -> None:
    """A pipe is a file that takes as long as its writer."""
    pipe = tmp_path / "slow.json"
    os.mkfifo(pipe)
    is_alive = threading.Event()

    def write_late() -> bool:
        was_alive = is_alive.wait(5)
        with pipe.open("wb") as writer:
            writer.write(b"{")
        return was_alive

    async with asyncio.TaskGroup() as group:
        writing = group.create_task(asyncio.to_thread(write_late))
        group.create_task(open_journal(tmp_path).has_image("open", IMAGE.name))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        is_alive.set()

    assert writing.result()


@pytest.mark.parametrize("strange", ["../../escape", "a/b", "a\x00b", "x" * 5000, ""])
def test_no_id_leads_out_of_the_directory(tmp_path: Path, strange: str) -> None:
    journal = open_journal(tmp_path / "journal")
    journal.add(settlement(strange))

    assert [one.ticket.id for one in journal.pending()] == [strange]
    assert len(list((tmp_path / "journal").iterdir())) == 1


def test_removing_a_missing_settlement_is_no_error(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.add(settlement(part="1"))
    journal.add(settlement(part="2"))

    for _ in range(2):
        journal.remove([settlement(part="1"), settlement(part="never")])

    assert [one.part for one in journal.pending()] == ["2"]


def test_an_empty_or_missing_directory_has_nothing(tmp_path: Path) -> None:
    assert open_journal(tmp_path).pending() == []
    assert open_journal(tmp_path / "missing").pending() == []
    open_journal(tmp_path / "missing").remove([settlement()])


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[]", b"{}", b"\xff\xfe", b'{"id": 1}'])
def test_an_unreadable_file_is_set_aside(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    journal = open_journal(tmp_path)
    (tmp_path / "broken.json").write_bytes(content)
    journal.add(settlement())

    assert journal.pending() == [settlement()]
    assert (tmp_path / "broken.unreadable").read_bytes() == content
    assert "settlement unreadable" in caplog.text
    caplog.clear()
    assert journal.pending() == [settlement()]
    assert caplog.text == ""


def test_a_directory_that_cannot_be_written_is_logged_and_nothing_raised(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "journal").write_text("in the way")

    open_journal(tmp_path / "journal").add(settlement())

    assert "settlement lost" in caplog.text
    assert open_journal(tmp_path / "journal").pending() == []


def test_half_written_files_are_not_read(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.add(settlement())
    (whole,) = tmp_path.iterdir()
    (tmp_path / f"{whole.stem}x.half").write_bytes(whole.read_bytes()[:50])

    assert journal.pending() == [settlement()]
    assert not list(tmp_path.glob("*.unreadable"))


def test_a_process_that_is_killed_while_writing_leaves_only_whole_files(tmp_path: Path) -> None:
    script = (
        "import sys, itertools\n"
        "from pathlib import Path\n"
        "from tests.adapters.journal.test_files import settlement, open_journal\n"
        "journal = open_journal(Path(sys.argv[1]))\n"
        "for number in itertools.count():\n"
        "    journal.add(settlement(part=str(number)))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=REPOSITORY) as writer:
        deadline_s = time.monotonic() + 20
        while len(list(tmp_path.glob("*.json"))) < 50 and time.monotonic() < deadline_s:
            time.sleep(0.01)
        writer.kill()

    kept = open_journal(tmp_path).pending()

    assert len(kept) >= 50
    assert not list(tmp_path.glob("*.unreadable"))


async def test_several_processes_may_empty_one_directory(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    stop = threading.Event()

    def empty() -> int:
        other = open_journal(tmp_path)
        rounds = 0
        while not stop.is_set():
            other.remove(other.pending())
            rounds += 1
        return rounds

    async with asyncio.TaskGroup() as group:
        racing = group.create_task(asyncio.to_thread(empty))
        for number in range(200):
            journal.add(settlement(part=f"{number}"))
            await asyncio.to_thread(journal.pending)
        stop.set()

    assert racing.result() > 0
    journal.remove(journal.pending())
    assert journal.pending() == []


async def test_an_unreadable_file_may_be_set_aside_by_another_process_first(tmp_path: Path) -> None:
    """Whatever is raised here would end the loop that replays, and with it every order of the process.

    A pipe makes the order of events certain: who reads it waits until we have taken its name away.
    """
    pipe = tmp_path / "broken.json"
    os.mkfifo(pipe)
    journal = open_journal(tmp_path)

    def set_aside() -> None:
        with pipe.open("wb") as writer:
            pipe.unlink()
            writer.write(b"{")

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(asyncio.to_thread(journal.pending))
        group.create_task(asyncio.to_thread(set_aside))

    assert reading.result() == []
