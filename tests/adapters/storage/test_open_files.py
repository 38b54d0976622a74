"""Good files of a directory stay open, and are read from memory until they change."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import obstore
import pytest
from obstore.store import LocalStore

from service.adapters.storage.objects import path_of
from service.adapters.storage.open_files import MOST, OpenFiles
from service.adapters.storage.store import ObjectStore
from service.domain.errors import ImageMissing
from service.ports.telemetry import StoreAsked
from tests.adapters.storage.stored import collect, name_of
from tests.fakes.telemetry import FakeTelemetry

IMAGE = bytes(range(256)) * 3000
NAME = name_of(IMAGE)
_PATIENCE_S = 10.0


class Watched:
    """A store on a directory that counts the operations of the disk."""

    def __init__(self, directory: Path) -> None:
        self.telemetry = FakeTelemetry()
        self.directory = directory
        self.store = ObjectStore(directory.as_uri(), telemetry=self.telemetry)

    @property
    def asked(self) -> int:
        return len(self.telemetry.of(StoreAsked))

    @property
    def file(self) -> Path:
        return next(self.directory.rglob(NAME))

    async def heat(self) -> None:
        """Store the image, and read it until it is open."""
        await self.store.put(NAME, IMAGE)
        await self.store.get(NAME)
        await self.store.get(NAME)
        if reads_from_memory(self.directory):
            await until(self.reads_memory)

    async def reads_memory(self) -> bool:
        """Tell if the image is open: then its size is no question to the disk."""
        before = self.asked
        await self.store.size(NAME)
        return self.asked == before


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 - the system tells no event
            await asyncio.sleep(0.005)


def is_open(file: Path) -> bool:
    return file_count(file) > 0


def file_count(path: Path) -> int:
    """Return how often this process has *path* open, or a file below it."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        # That of the listing itself is closed by now.
        with suppress(FileNotFoundError):
            count += str(link.readlink()).startswith(str(path))
    return count


def reads_from_memory(directory: Path) -> bool:
    """Tell if the file system of *directory* has `RWF_NOWAIT`."""
    path = directory / "tried"
    path.write_bytes(b"1")
    with path.open("rb") as file:
        try:
            os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
        except BlockingIOError:
            return True
        except (OSError, AttributeError):
            return False
    return True


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "store")


async def test_an_open_file_is_read_without_the_disk(watched: Watched) -> None:
    await watched.heat()
    before = watched.asked

    assert await watched.store.get(NAME) == IMAGE
    assert await watched.store.size(NAME) == len(IMAGE)
    assert await collect(watched.store.read(NAME, 0, len(IMAGE))) == IMAGE
    assert await collect(watched.store.read(NAME, 300_000, 300_007)) == IMAGE[300_000:300_007]

    assert (watched.asked == before) == reads_from_memory(watched.directory)


async def test_a_file_that_is_read_once_is_not_kept_open(watched: Watched) -> None:
    await watched.store.put(NAME, IMAGE)
    await watched.store.get(NAME)
    # Verified by the first read of a part, and not asked for again.
    await watched.store.put(other := name_of(b"other"), b"other")
    await collect(watched.store.read(other, 1, 3))
    await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0)

    assert not is_open(watched.file)


def unlink(path: Path) -> None:
    path.unlink()


def write_over(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(300_000)
        file.write(bytes([IMAGE[300_000] ^ 1]))


def write_over_and_hide(path: Path) -> None:
    """Also restore the time of the last change, as a restored backup does."""
    state = path.stat()
    write_over(path)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def cut_off(path: Path) -> None:
    os.truncate(path, 400_000)


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(IMAGE[:-1] + b"\0")
    other.rename(path)


@pytest.mark.parametrize("harm", [unlink, write_over, write_over_and_hide, cut_off, replace])
@pytest.mark.parametrize("way", ["get", "read", "part", "verify"])
async def test_an_open_file_that_changed_is_given_up(
    watched: Watched, harm: Callable[[Path], None], way: str
) -> None:
    await watched.heat()
    was_open = is_open(watched.file)
    file = watched.file
    # Times of files have a resolution of some milliseconds.
    await asyncio.sleep(0.02)
    harm(file)

    ways: dict[str, Callable[[], Awaitable[object]]] = {
        "get": lambda: watched.store.get(NAME),
        "read": lambda: collect(watched.store.read(NAME, 0, len(IMAGE))),
        "part": lambda: collect(watched.store.read(NAME, 1, 9)),
        "verify": lambda: watched.store.verify(NAME),
    }
    if harm is write_over_and_hide and not was_open:
        # obstore's version has no trace of it.
        await ways[way]()
        return
    with pytest.raises(ImageMissing):
        await ways[way]()
    assert not is_open(file)


async def test_a_deleted_image_is_closed_at_once(watched: Watched) -> None:
    await watched.heat()
    file = watched.file

    await watched.store.delete([NAME])

    assert not is_open(file)
    with pytest.raises(ImageMissing):
        await watched.store.get(NAME)


async def test_what_has_been_open_for_long_is_closed(watched: Watched) -> None:
    await watched.store.put(NAME, IMAGE)
    version = obstore.head(LocalStore(watched.directory), path_of(NAME))["e_tag"]
    files = OpenFiles(watched.directory, forget=lambda _: None, open_s=0.05)

    async def is_kept() -> bool:
        files.keep(NAME, path_of(NAME), version)
        return files.size(NAME) is not None

    if reads_from_memory(watched.directory):
        await until(is_kept)

    async def is_closed() -> bool:
        files.close_old()
        return not is_open(watched.file)

    await until(is_closed)
    assert files.size(NAME) is None


async def test_a_file_of_another_version_is_not_kept_open(watched: Watched) -> None:
    await watched.store.put(NAME, IMAGE)
    version = obstore.head(LocalStore(watched.directory), path_of(NAME))["e_tag"]
    write_over(watched.file)
    files = OpenFiles(watched.directory, forget=lambda _: None)

    for _ in range(100):
        files.keep(NAME, path_of(NAME), version)
        await asyncio.sleep(0.001)

    assert files.size(NAME) is None


async def test_a_bounded_number_of_files_is_open(watched: Watched) -> None:
    images = [b"%d" % number for number in range(MOST + 10)]
    for data in images:
        await watched.store.put(name_of(data), data)
    expected = MOST if reads_from_memory(watched.directory) else 0

    async def are_open() -> bool:
        for data in images:
            assert await watched.store.get(name_of(data)) == data
        return file_count(watched.directory / "images") >= expected

    await until(are_open)
    for _ in range(3):
        await are_open()
        await asyncio.sleep(0.01)

    assert file_count(watched.directory / "images") == expected
