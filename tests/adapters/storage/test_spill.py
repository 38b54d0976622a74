"""The spill over real directories: one is the store and fails, the other the disk of this machine."""

import asyncio
import hashlib
import math
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from service.adapters.storage.spill import MOST_BYTES, SpillingStore
from service.adapters.storage.store import ObjectStore
from service.domain.errors import GatewayError, ImageMissing, StoreUnavailable
from service.ports.telemetry import ImageSpilled, SpillCounted
from tests.adapters.storage.disks import Disk, small_disk
from tests.fakes.telemetry import FakeTelemetry

IMAGE = bytes(range(256)) * 3000
OTHER = b"another" * 50_000
SMALLEST_BYTES = 64 * 1024
"""The size that a small image counts as."""


def name_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() + ".png"


NAME = name_of(IMAGE)


class Home(ObjectStore):
    """A real store that records its calls, and runs *meanwhile* before a write."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory.as_uri())
        self.asked: list[str] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def put(self, name: str, data: bytes, *, deadline_s: float = math.inf) -> None:
        self.asked.append("put")
        if self.meanwhile:
            await self.meanwhile()
        await super().put(name, data, deadline_s=deadline_s)

    async def get(self, name: str, *, deadline_s: float = math.inf) -> bytes:
        self.asked.append("get")
        return await super().get(name, deadline_s=deadline_s)

    async def size(self, name: str) -> int:
        self.asked.append("size")
        return await super().size(name)


class Place:
    """A store at `home` and its spill at `spilled`."""

    def __init__(self, root: Path, *, most_bytes: int = MOST_BYTES, spilled: Path | None = None) -> None:
        self.home, self.spilled = root / "home", spilled or root / "spill"
        self.telemetry = FakeTelemetry()
        self._most_bytes = most_bytes
        self.inner = Home(self.home)
        self.store = self.open(self.inner)

    def open(self, home: ObjectStore | None = None) -> SpillingStore:
        """Open another store over the same two directories, as another process does."""
        return SpillingStore(
            home or ObjectStore(self.home.as_uri()),
            spill=ObjectStore(self.spilled.as_uri()),
            telemetry=self.telemetry,
            most_bytes=self._most_bytes,
        )

    def leave(self) -> None:
        """Make every operation of the store fail, even for root: a file replaces its directory."""
        self.home.rename(self.home.with_name("away"))
        self.home.write_text("in the way")

    def come_back(self) -> None:
        self.home.unlink()
        self.home.with_name("away").rename(self.home)

    def outcomes(self) -> list[str]:
        return [fact.outcome for fact in self.telemetry.of(ImageSpilled)]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk") as disk:
        yield disk


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.rglob("*") if path.suffix == ".png"}


def age(directory: Path, *, by_s: float) -> None:
    """Make all images older."""
    for path in directory.rglob("*.png"):
        at_s = time.time() - by_s  # noqa: TID251 - of files, which know no other clock
        os.utime(path, (at_s, at_s))


async def collect(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def come_home(store: SpillingStore) -> None:
    """Wait until the store has been found to work, at most a second later, and everything is there."""
    async with asyncio.timeout(30):
        while not await store.is_writable():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await store.bring_home()


async def check_unknown(store: SpillingStore, name: str, failure: type[GatewayError] = ImageMissing) -> None:
    for ask in (store.get, store.size, store.modified_s):
        with pytest.raises(failure):
            await ask(name)
    with pytest.raises(failure):
        await collect(store.read(name, 0, 10))


async def test_an_image_that_the_store_takes_is_not_spilled(place: Place) -> None:
    await place.store.put(NAME, IMAGE)

    assert names_in(place.home) == {NAME}
    assert names_in(place.spilled) == set()
    assert await place.store.get(NAME) == IMAGE
    assert await place.store.size(NAME) == len(IMAGE)
    assert await collect(place.store.read(NAME, 0, len(IMAGE))) == IMAGE
    assert place.outcomes() == []


async def test_an_image_that_the_store_refuses_is_kept_and_read(place: Place) -> None:
    place.leave()

    await place.store.put(NAME, IMAGE)

    assert await place.store.get(NAME) == IMAGE
    assert await place.store.size(NAME) == len(IMAGE)
    assert await collect(place.store.read(NAME, 0, len(IMAGE))) == IMAGE
    assert await collect(place.store.read(NAME, 300_000, 700_001)) == IMAGE[300_000:700_001]
    assert place.outcomes() == ["kept"]


async def test_nothing_new_is_paid_for_while_the_store_is_away(place: Place) -> None:
    place.leave()
    await place.store.put(NAME, IMAGE)

    assert not await place.store.is_writable()


async def test_while_the_store_is_known_to_be_down_more_images_are_kept(place: Place) -> None:
    place.leave()

    await place.store.put(NAME, IMAGE)
    await place.store.put(name_of(OTHER), OTHER)

    assert names_in(place.spilled) == {NAME, name_of(OTHER)}
    assert await place.store.get(name_of(OTHER)) == OTHER


async def test_a_spilled_image_is_moved_once_the_store_is_back(place: Place) -> None:
    place.leave()
    await place.store.put(NAME, IMAGE)
    await place.store.put(name_of(OTHER), OTHER)
    await place.store.bring_home()
    assert place.telemetry.of(SpillCounted)[-1] == SpillCounted(images=2)
    place.come_back()

    await come_home(place.store)

    assert names_in(place.home) == {NAME, name_of(OTHER)}
    assert names_in(place.spilled) == set()
    assert await place.store.get(NAME) == IMAGE
    assert place.outcomes() == ["kept", "kept", "brought_home", "brought_home"]
    assert place.telemetry.of(SpillCounted)[-1] == SpillCounted(images=0)


async def test_the_loop_moves_a_spilled_image(place: Place) -> None:
    place.leave()
    await place.store.put(NAME, IMAGE)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        loop = group.create_task(place.store.bring_home_forever())
        while not place.telemetry.of(SpillCounted):  # noqa: ASYNC110 - it looked in vain
            await asyncio.sleep(0.01)
        place.come_back()
        while names_in(place.spilled):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        loop.cancel()

    assert names_in(place.home) == {NAME}


async def test_another_process_reads_and_moves_a_spilled_image(place: Place) -> None:
    place.leave()
    await place.store.put(NAME, IMAGE)
    other = place.open()

    assert await other.get(NAME) == IMAGE
    place.come_back()
    await other.bring_home()
    assert names_in(place.home) == {NAME}
    assert await place.store.get(NAME) == IMAGE
    await place.store.bring_home()
    assert place.outcomes() == ["kept", "brought_home"]


async def test_concurrent_moves_store_an_image_once(place: Place) -> None:
    place.leave()
    images = [bytes([each]) * 100_000 for each in range(20)]
    for data in images:
        await place.store.put(name_of(data), data)
    place.come_back()

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(place.open().bring_home())

    assert names_in(place.home) == {name_of(data) for data in images}
    assert names_in(place.spilled) == set()


async def test_a_store_that_is_known_to_be_down_is_not_waited_for(place: Place) -> None:
    place.leave()
    await place.store.put(NAME, IMAGE)
    assert not await place.store.is_writable()

    await place.store.put(name_of(OTHER), OTHER)
    await place.store.bring_home()
    assert await place.store.get(NAME) == IMAGE
    assert await place.store.size(NAME) == len(IMAGE)

    assert place.inner.asked == ["put"]


async def test_one_that_the_store_does_not_take_holds_up_no_other(place: Place) -> None:
    place.leave()
    images = [bytes([each]) * 1000 for each in range(5)]
    for data in images:
        await place.store.put(name_of(data), data)
    place.come_back()
    refused = name_of(images[2])
    folder = place.home / "images" / refused[:2]
    folder.parent.mkdir()
    folder.write_text("in the way")

    async with asyncio.timeout(30):
        while len(names_in(place.spilled)) > 1:
            await place.open().bring_home()

    assert names_in(place.spilled) == {refused}
    assert await place.store.get(refused) == images[2]


async def test_an_image_leaves_the_spill_only_once_the_store_has_it(place: Place) -> None:
    place.leave()
    await place.store.put(NAME, IMAGE)
    place.come_back()
    other = place.open()
    found: list[bytes] = []

    async def read() -> None:
        found.append(await other.get(NAME))

    place.inner.meanwhile = read
    await come_home(place.store)

    assert found == [IMAGE]
    assert names_in(place.spilled) == set()


async def test_an_image_is_found_at_every_moment_of_its_move(place: Place) -> None:
    place.leave()
    images = [bytes([each]) * 100_000 for each in range(20)]
    for data in images:
        await place.store.put(name_of(data), data)
    place.come_back()
    reader = place.open()

    async def read_on() -> None:
        while True:
            for data in images:
                assert await reader.get(name_of(data)) == data
                assert await collect(reader.read(name_of(data), 5, 70_000)) == data[5:70_000]

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read_on())
        await place.open().bring_home()
        reading.cancel()

    assert names_in(place.spilled) == set()


async def test_moving_an_image_does_not_interrupt_its_reader(place: Place) -> None:
    place.leave()
    await place.store.put(NAME, IMAGE)
    chunks = place.store.read(NAME, 0, len(IMAGE))
    first = await anext(chunks)
    place.come_back()

    await come_home(place.store)

    assert names_in(place.spilled) == set()
    assert first + await collect(chunks) == IMAGE


async def test_a_full_spill_is_a_failed_store(tmp_path: Path) -> None:
    place = Place(tmp_path, most_bytes=len(IMAGE) + SMALLEST_BYTES)
    place.leave()
    await place.store.put(NAME, IMAGE)

    with pytest.raises(StoreUnavailable):
        await place.store.put(name_of(OTHER), OTHER)
    await place.store.put(name_of(b"small"), b"small")
    # It is there and takes no more room.
    await place.store.put(NAME, IMAGE)
    with pytest.raises(StoreUnavailable):
        await place.store.put(name_of(b"too many"), b"too many")

    assert names_in(place.spilled) == {NAME, name_of(b"small")}
    assert place.outcomes() == ["kept", "refused", "kept", "kept", "refused"]


async def test_puts_at_once_stay_within_the_bound(tmp_path: Path) -> None:
    place = Place(tmp_path, most_bytes=3 * SMALLEST_BYTES)
    place.leave()
    images = [bytes([each]) for each in range(10)]

    async def put(data: bytes) -> None:
        try:
            await place.store.put(name_of(data), data)
        except StoreUnavailable:
            return

    async with asyncio.TaskGroup() as group:
        for data in images:
            group.create_task(put(data))

    assert len(names_in(place.spilled)) == 3
    assert sorted(place.outcomes()) == ["kept"] * 3 + ["refused"] * 7


async def test_a_full_disk_is_a_failed_store(tmp_path: Path, disk: Disk) -> None:
    place = Place(tmp_path, spilled=disk.path / "spill")
    place.leave()
    disk.fill(but_bytes=0)

    with pytest.raises(StoreUnavailable):
        await place.store.put(NAME, IMAGE)

    assert names_in(place.spilled) == set()
    assert place.outcomes() == ["refused"]


async def test_deleting_removes_an_image_from_the_spill_and_the_store(place: Place) -> None:
    await place.store.put(NAME, IMAGE)
    place.leave()
    await place.store.put(NAME, IMAGE)
    await place.store.put(name_of(OTHER), OTHER)
    place.come_back()

    await place.store.delete([NAME, name_of(OTHER)])

    await check_unknown(place.store, NAME)
    await come_home(place.store)
    assert names_in(place.home) == names_in(place.spilled) == set()


async def test_an_image_deleted_while_the_store_is_away_is_not_moved(place: Place) -> None:
    place.leave()
    await place.store.put(NAME, IMAGE)

    # It may be in the store, too, so this is not done.
    with pytest.raises(StoreUnavailable):
        await place.store.delete([NAME])

    assert names_in(place.spilled) == set()
    await check_unknown(place.store, NAME, StoreUnavailable)
    place.come_back()
    await place.store.bring_home()
    await check_unknown(place.store, NAME)


async def test_retention_sees_its_age_and_its_name(place: Place) -> None:
    await place.store.put(name_of(OTHER), OTHER)
    await place.store.put(NAME, IMAGE)
    age(place.home, by_s=5000)
    place.leave()
    await place.store.put(NAME, IMAGE)
    await place.store.put(name_of(b"a third"), b"a third")
    age(place.spilled, by_s=300)
    spilled_s = (next(place.spilled.rglob(NAME))).stat().st_mtime
    away_s = await place.store.modified_s(NAME)
    place.come_back()

    listed = {image.name async for image in place.store.list()}
    of_a_part = {image.name async for image in place.store.list(int(NAME[:2], 16))}

    assert listed == {NAME, name_of(OTHER), name_of(b"a third")}
    assert of_a_part == {NAME}
    # The younger of the two: the other has an age at which it goes.
    assert (away_s, await place.store.modified_s(NAME)) == pytest.approx((spilled_s, spilled_s), abs=0.01)
    age(place.spilled, by_s=9000)
    assert await place.store.modified_s(NAME) == pytest.approx(spilled_s - 4700, abs=5)


async def test_partial_files_are_removed_from_the_spill(place: Place) -> None:
    place.leave()
    await place.store.put(NAME, IMAGE)
    (remains,) = (path.with_name(f"{NAME}#1") for path in place.spilled.rglob(NAME))
    remains.write_bytes(b"half")
    place.come_back()

    assert await place.store.remove_remains(before_s=remains.stat().st_mtime + 1) == 1

    assert not remains.exists()


async def test_a_damaged_image_counts_as_missing_and_is_not_moved(place: Place) -> None:
    place.leave()
    await place.store.put(NAME, IMAGE)
    (file,) = place.spilled.rglob(NAME)
    file.write_bytes(b"\1" + IMAGE[1:])
    place.come_back()

    await come_home(place.store)

    await check_unknown(place.store, NAME)
    assert names_in(place.home) == names_in(place.spilled) == set()


async def test_a_spill_that_cannot_be_read_hides_nothing_and_loses_nothing(place: Place) -> None:
    await place.store.put(NAME, IMAGE)
    shutil.rmtree(place.spilled, ignore_errors=True)
    place.spilled.write_text("in the way")
    store = place.open()

    assert await store.get(NAME) == IMAGE
    assert await store.size(NAME) == len(IMAGE)
    assert await collect(store.read(NAME, 0, len(IMAGE))) == IMAGE
    for ask in (store.get, store.size):
        with pytest.raises(StoreUnavailable):
            await ask(name_of(OTHER))
    with pytest.raises(StoreUnavailable):
        await store.bring_home()


async def test_a_directory_has_no_links_of_its_own(place: Place) -> None:
    await place.store.put(NAME, IMAGE)

    assert await place.store.presign(NAME, ttl_s=60) is None
