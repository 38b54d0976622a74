"""The image store on a real directory, and on one that fails."""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.adapters.store import ObjectStore
from service.domain.errors import ImageMissing, StoreUnavailable

NAME = "ab" * 32 + ".png"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "files of the gateway"


@pytest.fixture
def store(directory: Path) -> ObjectStore:
    return ObjectStore(directory.as_uri())


def block(directory: Path) -> None:
    """Make every write fail, also root's: a file stands where the directory was."""
    shutil.rmtree(directory)
    directory.write_text("in the way")


def unblock(directory: Path) -> None:
    directory.unlink()
    directory.mkdir()


def files_in(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def file_of(directory: Path) -> Path:
    """Return where `NAME` is kept."""
    return next(directory.rglob(NAME))


async def collect(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def test_what_is_put_is_there_by_its_name(store: ObjectStore) -> None:
    data = bytes(range(256)) * 3000

    await store.put(NAME, data)

    assert await store.get(NAME) == data
    assert await store.size(NAME) == len(data)
    assert await collect(store.read(NAME, 0, len(data))) == data


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 1), (5, 5), (262_143, 262_145), (262_144, 524_288), (700_000, 768_000), (0, 768_000)],
)
async def test_any_part_can_be_read(store: ObjectStore, start: int, end: int) -> None:
    data = bytes(range(256)) * 3000
    await store.put(NAME, data)

    assert await collect(store.read(NAME, start, end)) == data[start:end]


async def test_a_large_picture_comes_in_pieces(store: ObjectStore) -> None:
    await store.put(NAME, bytes(1_000_000))

    sizes = [len(chunk) async for chunk in store.read(NAME, 0, 1_000_000)]

    assert max(sizes) <= 262_144


async def test_the_same_name_again_is_no_mistake(store: ObjectStore, directory: Path) -> None:
    for _ in range(2):
        await store.put(NAME, b"same")

    assert [path.name for path in files_in(directory)] == [NAME]


async def test_files_outlive_the_process(store: ObjectStore, directory: Path) -> None:
    await store.put(NAME, b"kept")

    assert await ObjectStore(directory.as_uri()).get(NAME) == b"kept"


async def test_what_is_not_there_is_missing(store: ObjectStore) -> None:
    with pytest.raises(ImageMissing):
        await store.get(NAME)
    with pytest.raises(ImageMissing):
        await store.size(NAME)
    with pytest.raises(ImageMissing):
        await collect(store.read(NAME, 0, 10))


async def test_a_file_that_goes_while_it_is_read_is_missing(store: ObjectStore, directory: Path) -> None:
    await store.put(NAME, bytes(1_000_000))
    reading = store.read(NAME, 0, 1_000_000)
    await anext(reading)

    file_of(directory).unlink()

    with pytest.raises(ImageMissing):
        await collect(reading)


async def test_a_directory_that_vanished_is_made_again(store: ObjectStore, directory: Path) -> None:
    shutil.rmtree(directory)

    await store.put(NAME, b"back")

    assert await store.get(NAME) == b"back"


async def test_a_write_that_fails_is_remembered_until_a_probe_succeeds(
    store: ObjectStore, directory: Path
) -> None:
    assert await store.is_writable()
    block(directory)

    with pytest.raises(StoreUnavailable):
        await store.put(NAME, b"lost")
    assert not await store.is_writable()

    unblock(directory)
    # At most one probe a second: a store that is down is not asked by every order.
    async with asyncio.timeout(3):
        while not await store.is_writable():  # noqa: ASYNC110 - a probe is a question
            await asyncio.sleep(0.02)
    await store.put(NAME, b"kept")


async def test_a_good_write_ends_the_memory_of_a_bad_one(store: ObjectStore, directory: Path) -> None:
    block(directory)
    with pytest.raises(StoreUnavailable):
        await store.put(NAME, b"lost")
    unblock(directory)

    await store.put(NAME, b"kept")

    assert await store.is_writable()


async def test_a_probe_finds_out_before_anything_is_written(store: ObjectStore, directory: Path) -> None:
    block(directory)
    assert await store.is_writable(), "nobody has looked yet"

    await store.probe()

    assert not await store.is_writable()


async def test_a_store_that_cannot_be_read_is_unavailable_and_not_empty(
    store: ObjectStore, directory: Path
) -> None:
    """Missing would drop the entry and pay again."""
    await store.put(NAME, b"data")
    path = file_of(directory)
    path.unlink()
    path.symlink_to(path)

    with pytest.raises(StoreUnavailable):
        await store.get(NAME)


async def test_a_reader_sees_a_whole_file_or_none(store: ObjectStore) -> None:
    """While one writes the same name over and over."""
    versions = [bytes([number]) * 3_000_000 for number in range(4)]
    whole = {hashlib.sha256(version).digest() for version in versions}
    await store.put(NAME, versions[0])

    async def write() -> None:
        for number in range(24):
            await store.put(NAME, versions[number % 4])

    seen = set()
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(write())
        while not writing.done():
            seen.add(hashlib.sha256(await store.get(NAME)).digest())

    assert seen <= whole


async def test_many_writers_of_one_name_leave_one_whole_file(store: ObjectStore, directory: Path) -> None:
    data = bytes(1_000_000)

    async with asyncio.TaskGroup() as group:
        for _ in range(16):
            group.create_task(store.put(NAME, data))

    assert await store.get(NAME) == data
    assert len(files_in(directory)) == 1
