"""The image store on a real directory, and on one that fails."""

import asyncio
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.adapters.storage.opening import SCHEMES, StoreTimeouts
from service.adapters.storage.store import ObjectStore
from service.adapters.storage.troubleshooting import advise
from service.domain.errors import GatewayError, ImageMissing, StoreUnavailable
from service.ports.telemetry import StoreAsked
from tests.adapters.storage.disks import Disk, no_files, small_disk
from tests.adapters.storage.stored import become_writable, collect, name_of
from tests.fakes.telemetry import FakeTelemetry
from tests.processes import REPOSITORY

IMAGE = bytes(range(256)) * 3000
NAME = name_of(IMAGE)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "files of the gateway"


@pytest.fixture
def store(directory: Path) -> ObjectStore:
    return ObjectStore(directory.as_uri())


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk") as disk:
        yield disk


def block(directory: Path) -> None:
    """Make every write fail, even for root: a file replaces the directory."""
    shutil.rmtree(directory)
    directory.write_text("in the way")


def unblock(directory: Path) -> None:
    directory.unlink()
    directory.mkdir()


def files_in(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def file_of(directory: Path) -> Path:
    """Return the path of `IMAGE`."""
    return next(directory.rglob(NAME))


def flip_a_bit(path: Path, *, at: int) -> None:
    """Change the byte at *at* and nothing that a listing shows."""
    state = path.stat()
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def write_over(path: Path, *, at: int) -> None:
    """Change the byte at *at*, as a program does."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes([IMAGE[at] ^ 0x10]))


async def test_a_stored_image_is_found_by_its_name(store: ObjectStore) -> None:
    await store.put(NAME, IMAGE)

    assert await store.get(NAME) == IMAGE
    assert await store.size(NAME) == len(IMAGE)
    assert await collect(store.read(NAME, 0, len(IMAGE))) == IMAGE


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 1), (5, 5), (262_143, 262_145), (262_144, 524_288), (700_000, 768_000), (0, 768_000)],
)
async def test_any_part_can_be_read(store: ObjectStore, start: int, end: int) -> None:
    await store.put(NAME, IMAGE)

    assert await collect(store.read(NAME, start, end)) == IMAGE[start:end]


async def test_a_lack_of_files_is_not_the_stores(
    store: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    with no_files(), pytest.raises(StoreUnavailable):
        await store.put(NAME, IMAGE)

    assert store.trouble == "files"
    assert "ulimit -n" in advise("files", "file:///images")
    await store.put(NAME, IMAGE)
    assert store.trouble is None


async def test_a_large_image_is_read_in_pieces(store: ObjectStore) -> None:
    data = bytes(1_000_000)
    await store.put(name_of(data), data)

    sizes = [len(chunk) async for chunk in store.read(name_of(data), 0, 1_000_000)]

    assert max(sizes) <= 262_144


async def test_an_image_that_is_there_is_replaced_whole(store: ObjectStore, directory: Path) -> None:
    await store.put(NAME, IMAGE)
    first = file_of(directory).stat().st_ino
    reading = store.read(NAME, 0, len(IMAGE))
    begun = [await anext(reading)]

    await store.put(NAME, IMAGE)

    assert file_of(directory).stat().st_ino != first
    assert await collect(reading, begun) == IMAGE
    assert [path.name for path in files_in(directory)] == [NAME]


async def test_an_image_that_a_sweep_may_soon_delete_is_written_again(
    store: ObjectStore, directory: Path
) -> None:
    await store.put(NAME, IMAGE)
    half_an_hour_ago_s = time.time() - 1801  # noqa: TID251 - as the file system tells it
    os.utime(file_of(directory), (half_an_hour_ago_s, half_an_hour_ago_s))

    await store.put(NAME, IMAGE)

    assert await store.modified_s(NAME) > half_an_hour_ago_s + 1700
    assert await store.get(NAME) == IMAGE


async def test_a_missing_image_has_no_age(store: ObjectStore) -> None:
    with pytest.raises(ImageMissing):
        await store.modified_s(NAME)


async def test_a_part_of_a_listing_is_one_folder(store: ObjectStore) -> None:
    images = [b"%d" % number for number in range(300)]
    for data in images:
        await store.put(name_of(data), data)

    parts = [[image.name async for image in store.list(part)] for part in range(256)]

    assert all(int(name[:2], 16) == part for part, names in enumerate(parts) for name in names)
    assert sorted(name for names in parts for name in names) == sorted(map(name_of, images))


async def test_a_part_of_an_empty_store_is_empty(store: ObjectStore) -> None:
    assert [image async for image in store.list(7)] == []


async def test_an_incomplete_image_is_written_again(store: ObjectStore, directory: Path) -> None:
    await store.put(NAME, IMAGE)
    os.truncate(file_of(directory), 1000)

    await store.put(NAME, IMAGE)

    assert await store.get(NAME) == IMAGE


async def test_files_outlive_the_process(store: ObjectStore, directory: Path) -> None:
    await store.put(NAME, IMAGE)

    assert await ObjectStore(directory.as_uri()).get(NAME) == IMAGE


async def test_an_absent_image_is_missing(store: ObjectStore) -> None:
    with pytest.raises(ImageMissing):
        await store.get(NAME)
    with pytest.raises(ImageMissing):
        await store.size(NAME)
    with pytest.raises(ImageMissing):
        await collect(store.read(NAME, 0, 10))
    with pytest.raises(ImageMissing):
        await store.verify(NAME)


async def test_a_file_deleted_while_it_is_read_is_missing(store: ObjectStore, directory: Path) -> None:
    await store.put(NAME, IMAGE)
    reading = store.read(NAME, 0, len(IMAGE))
    await anext(reading)

    file_of(directory).unlink()

    with pytest.raises(ImageMissing):
        await collect(reading)


async def test_a_good_file_is_not_hashed_again(directory: Path) -> None:
    data = bytes(range(256)) * 100_000
    name = name_of(data)
    await ObjectStore(directory.as_uri()).put(name, data)
    first_s: list[float] = []
    later_s: list[float] = []

    for _ in range(5):
        store = ObjectStore(directory.as_uri())
        for costs_s in (first_s, later_s):
            before_s = time.process_time()
            assert await collect(store.read(name, 0, len(data))) == data
            costs_s.append(time.process_time() - before_s)

    assert min(later_s) < 0.7 * min(first_s)


@pytest.mark.parametrize(("start", "end"), [(0, 100), (600_000, 768_000), (0, 768_000)])
async def test_a_good_file_that_has_changed_is_checked_again(
    store: ObjectStore, directory: Path, start: int, end: int
) -> None:
    await store.put(NAME, IMAGE)
    assert await store.get(NAME) == IMAGE
    assert await collect(store.read(NAME, start, end)) == IMAGE[start:end]
    write_over(file_of(directory), at=300_000)

    with pytest.raises(ImageMissing):
        await collect(store.read(NAME, start, end))
    assert files_in(directory) == []


async def test_a_good_file_that_changes_while_it_is_read_breaks_off(
    store: ObjectStore, directory: Path
) -> None:
    await store.put(NAME, IMAGE)
    assert await store.get(NAME) == IMAGE
    reading = store.read(NAME, 0, len(IMAGE))
    await anext(reading)

    write_over(file_of(directory), at=600_000)

    with pytest.raises(ImageMissing):
        await collect(reading)


async def test_a_flipped_bit_makes_an_image_missing_and_free_to_be_made_again(
    store: ObjectStore, directory: Path
) -> None:
    await store.put(NAME, IMAGE)
    flip_a_bit(file_of(directory), at=500_000)

    with pytest.raises(ImageMissing):
        await store.get(NAME)
    assert files_in(directory) == []
    assert await store.is_writable(), "the store is well"

    await store.put(NAME, IMAGE)
    assert await store.get(NAME) == IMAGE
    write_over(file_of(directory), at=500_000)
    with pytest.raises(ImageMissing):
        await store.get(NAME)


async def test_no_reader_gets_all_of_a_damaged_image_and_none_gets_it_twice(
    store: ObjectStore, directory: Path
) -> None:
    await store.put(NAME, IMAGE)
    flip_a_bit(file_of(directory), at=3)
    received: list[bytes] = []

    with pytest.raises(ImageMissing):
        await collect(store.read(NAME, 0, len(IMAGE)), received)

    assert sum(map(len, received)) < len(IMAGE)
    with pytest.raises(ImageMissing):
        await store.size(NAME)


async def test_nothing_of_a_small_damaged_image_is_given(store: ObjectStore, directory: Path) -> None:
    data = b"a small image"
    await store.put(name_of(data), data)
    flip_a_bit(files_in(directory)[0], at=3)

    with pytest.raises(ImageMissing):
        await anext(store.read(name_of(data), 0, len(data)))


@pytest.mark.parametrize(("start", "end"), [(0, 100), (600_000, 768_000)])
async def test_no_part_of_a_damaged_image_is_given(
    store: ObjectStore, directory: Path, start: int, end: int
) -> None:
    """Even if the part itself is intact: the client joins parts."""
    await store.put(NAME, IMAGE)
    flip_a_bit(file_of(directory), at=300_000)

    with pytest.raises(ImageMissing):
        await anext(store.read(NAME, start, end))
    assert files_in(directory) == []


async def test_an_incomplete_image_is_found_by_a_read(store: ObjectStore, directory: Path) -> None:
    await store.put(NAME, IMAGE)
    os.truncate(file_of(directory), 400_000)

    with pytest.raises(ImageMissing):
        await collect(store.read(NAME, 0, await store.size(NAME)))
    assert files_in(directory) == []


async def test_an_empty_file_is_no_image(store: ObjectStore, directory: Path) -> None:
    """A power cut may leave such files."""
    await store.put(NAME, IMAGE)
    os.truncate(file_of(directory), 0)

    with pytest.raises(ImageMissing):
        await store.size(NAME)
    assert files_in(directory) == []


async def test_verifying_keeps_intact_images_and_deletes_damaged_ones(
    store: ObjectStore, directory: Path
) -> None:
    await store.put(NAME, IMAGE)
    await store.verify(NAME)
    assert await store.get(NAME) == IMAGE
    flip_a_bit(file_of(directory), at=len(IMAGE) - 1)

    with pytest.raises(ImageMissing):
        await store.verify(NAME)

    assert files_in(directory) == []


async def test_a_file_is_located_once_it_was_found_good(store: ObjectStore, directory: Path) -> None:
    await store.put(NAME, IMAGE)
    place = await store.locate(NAME)
    assert directory / place == file_of(directory)
    assert [await store.locate(NAME) for _ in range(3)] == [place] * 3
    write_over(file_of(directory), at=5)

    with pytest.raises(ImageMissing):
        await store.locate(NAME)

    assert files_in(directory) == []
    with pytest.raises(ImageMissing):
        await store.locate(NAME)
    await store.put(NAME, IMAGE)
    flip_a_bit(file_of(directory), at=5)
    with pytest.raises(ImageMissing):
        await store.locate(NAME)


async def test_a_good_file_is_located_without_a_read(directory: Path) -> None:
    telemetry = FakeTelemetry()
    store = ObjectStore(directory.as_uri(), telemetry=telemetry)
    await store.put(NAME, IMAGE)
    await store.locate(NAME)
    before = len(telemetry.of(StoreAsked))

    for _ in range(5):
        await store.locate(NAME)

    assert {fact.operation for fact in telemetry.of(StoreAsked)[before:]} <= {"check"}


async def test_a_listing_names_every_image_and_nothing_else(store: ObjectStore, directory: Path) -> None:
    await store.probe()
    before_s = time.time() - 1  # noqa: TID251 - what the file system goes by
    images = {name_of(data): data for data in (bytes([number]) * (number + 1) for number in range(20))}
    for name, data in images.items():
        await store.put(name, data)
    (directory / "images" / "00").mkdir(exist_ok=True)
    (directory / "images" / "00" / "stranger.txt").write_text("not ours")

    listed = [image async for image in store.list()]

    assert {image.name: image.size_bytes for image in listed} == {
        name: len(data) for name, data in images.items()
    }
    assert all(before_s < image.modified_s < before_s + 60 for image in listed)


async def test_a_listing_of_many_images_has_several_pages(store: ObjectStore, directory: Path) -> None:
    folder = directory / "images" / "00"
    folder.mkdir(parents=True)
    names = {f"{number:064x}.png" for number in range(2500)}
    for name in names:
        (folder / name).touch()

    listed = [image.name async for image in store.list()]

    assert len(listed) == 2500
    assert set(listed) == names


async def test_an_empty_store_lists_nothing(store: ObjectStore) -> None:
    assert [image async for image in store.list()] == []


async def test_images_are_deleted_whether_or_not_all_are_there(store: ObjectStore) -> None:
    images = [bytes([number]) for number in range(8)]
    for data in images:
        await store.put(name_of(data), data)
    gone = [name_of(b"never put"), name_of(b"nor this")]

    await store.delete([gone[0], *map(name_of, images[:7]), gone[1]])

    assert [image.name async for image in store.list()] == [name_of(images[7])]


async def test_old_partial_files_are_removed(store: ObjectStore, directory: Path) -> None:
    await store.put(NAME, IMAGE)
    old, young = (file_of(directory).with_name(f"{NAME}#{number}") for number in (1, 2))
    old.write_bytes(b"half a pic")
    young.write_bytes(b"hal")
    os.utime(old, (1_000, 1_000))
    os.utime(file_of(directory), (1_000, 1_000))
    assert [image.name async for image in store.list()] == [NAME]

    removed = await store.remove_remains(before_s=2_000)

    assert removed == 1
    assert set(files_in(directory)) == {file_of(directory), young}


async def test_a_directory_has_no_links_of_its_own(store: ObjectStore) -> None:
    await store.put(NAME, IMAGE)

    assert await store.presign(NAME, ttl_s=60) is None


async def test_a_directory_that_vanished_is_made_again(store: ObjectStore, directory: Path) -> None:
    await store.put(NAME, IMAGE)
    shutil.rmtree(directory)

    with pytest.raises(ImageMissing):
        await store.get(NAME)
    assert [image async for image in store.list()] == []
    await store.put(NAME, IMAGE)

    assert await store.get(NAME) == IMAGE


async def test_a_directory_is_created_as_soon_as_possible(tmp_path: Path) -> None:
    in_the_way = tmp_path / "mount"
    in_the_way.write_text("no directory")
    store = ObjectStore((in_the_way / "files").as_uri())
    await store.probe()
    assert not await store.is_writable()
    with pytest.raises(StoreUnavailable):
        await store.get(NAME)

    in_the_way.unlink()

    await become_writable(store, within_s=10)
    await store.put(NAME, IMAGE)
    assert await store.get(NAME) == IMAGE


async def test_a_write_that_fails_is_remembered_until_a_probe_succeeds(
    store: ObjectStore, directory: Path
) -> None:
    assert await store.is_writable()
    block(directory)

    with pytest.raises(StoreUnavailable):
        await store.put(NAME, IMAGE)
    assert not await store.is_writable()

    unblock(directory)
    await become_writable(store, within_s=10)
    await store.put(NAME, IMAGE)


async def test_a_successful_write_clears_a_failed_one(store: ObjectStore, directory: Path) -> None:
    block(directory)
    with pytest.raises(StoreUnavailable):
        await store.put(NAME, IMAGE)
    unblock(directory)

    await store.put(NAME, IMAGE)

    assert await store.is_writable()


async def test_a_probe_finds_out_before_anything_is_written(store: ObjectStore, directory: Path) -> None:
    block(directory)
    assert await store.is_writable(), "nobody has looked yet"

    await store.probe()

    assert not await store.is_writable()


async def test_a_full_disk_keeps_no_partial_image_and_the_store_recovers(disk: Disk) -> None:
    store = ObjectStore(disk.path.as_uri())
    small = b"a small image"
    await store.put(name_of(small), small)
    before = set(files_in(disk.path))
    disk.fill(but_bytes=100_000)

    with pytest.raises(StoreUnavailable):
        await store.put(NAME, IMAGE)

    assert {path.name for path in files_in(disk.path)} - {path.name for path in before} <= {"ballast"}
    assert await store.get(name_of(small)) == small
    # There is room for the few bytes of an ordinary probe, and it must not say yes.
    await store.probe()
    assert not await store.is_writable()

    disk.free()
    await become_writable(store, within_s=10)
    await store.put(NAME, IMAGE)
    assert await store.get(NAME) == IMAGE
    assert next(disk.path.rglob("probe")).stat().st_size < 10


async def test_a_read_only_disk_gives_and_does_not_take(disk: Disk) -> None:
    store = ObjectStore(disk.path.as_uri())
    small = b"a small image"
    await store.put(NAME, IMAGE)
    await store.put(name_of(small), small)
    flip_a_bit(next(disk.path.rglob(name_of(small))), at=1)
    disk.make_read_only()

    with pytest.raises(StoreUnavailable):
        await store.put(name_of(b"new"), b"new")
    with pytest.raises(StoreUnavailable):
        await store.delete([NAME])
    with pytest.raises(ImageMissing):
        await store.get(name_of(small))
    assert await store.get(NAME) == IMAGE
    assert not await store.is_writable()

    disk.make_writable()
    await become_writable(store, within_s=10)
    await store.put(name_of(b"new"), b"new")


async def test_the_log_tells_that_a_store_fails_and_that_it_works_again(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    store = ObjectStore(disk.path.as_uri(), explain=lambda reason: {"advice": f"mend {reason}"})
    await store.put(NAME, IMAGE)
    disk.make_read_only()
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await store.put(name_of(b"new"), b"new")
        # A store that is only read from still takes no writes.
        assert await store.get(NAME) == IMAGE

    assert [(record.message, record.__dict__["advice"]) for record in caplog.records] == [
        ("store failed", "mend other")
    ]
    disk.make_writable()
    await store.put(name_of(b"new"), b"new")
    await store.put(NAME, IMAGE)
    assert [record.message for record in caplog.records] == ["store failed", "store works again"]


async def test_a_store_that_cannot_be_read_is_unavailable_and_not_empty(
    store: ObjectStore, directory: Path
) -> None:
    """Missing would drop the entry and pay again."""
    await store.put(NAME, IMAGE)
    path = file_of(directory)
    path.unlink()
    path.symlink_to(path)

    with pytest.raises(StoreUnavailable):
        await store.get(NAME)


async def test_a_disk_that_hangs_is_not_waited_for(directory: Path) -> None:
    """As a network file system whose server has gone."""
    store = ObjectStore(directory.as_uri(), timeouts=StoreTimeouts(operation_s=0.2))
    await store.put(NAME, IMAGE)
    path = file_of(directory)
    path.unlink()
    os.mkfifo(path)  # opening it to read waits for a writer

    try:
        with pytest.raises(StoreUnavailable):
            await store.get(NAME)
    finally:
        # Lets the thread go that still waits.
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))


async def test_errors_name_no_place(store: ObjectStore, directory: Path) -> None:
    block(directory)
    texts = []
    for operation in (store.put(NAME, IMAGE), store.get(NAME), store.size(NAME), store.delete([NAME])):
        with pytest.raises(GatewayError) as caught:
            await operation
        texts.append(f"{caught.value} {caught.value!r}")

    assert not any(str(directory.parent) in text or NAME in text for text in texts)


@pytest.mark.parametrize("url", ["ftp://host/path", "s3:///no-bucket", "az://no-account-named/x"])
def test_a_url_that_names_no_store_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match=r"describe no store|URL that starts with"):
        ObjectStore(url)


async def test_a_reader_sees_a_whole_file_or_none(store: ObjectStore) -> None:
    """While one deletes and writes the same name over and over."""
    data = bytes(3_000_000)
    name = name_of(data)

    async def write() -> None:
        for _ in range(24):
            await store.delete([name])
            await store.put(name, data)

    async with asyncio.TaskGroup() as group:
        writing = group.create_task(write())
        seen = 0
        while not writing.done():
            try:
                # Half a file would be damaged, be deleted and have been logged.
                assert await store.get(name) == data
                seen += 1
            except ImageMissing:
                pass

    assert await store.get(name) == data


async def test_many_writers_of_one_name_leave_one_whole_file(store: ObjectStore, directory: Path) -> None:
    data = bytes(1_000_000)

    async with asyncio.TaskGroup() as group:
        for _ in range(16):
            group.create_task(store.put(name_of(data), data))

    assert await store.get(name_of(data)) == data
    assert len(files_in(directory)) == 1


def test_every_scheme_is_described_where_operators_look() -> None:
    description = (REPOSITORY / "docs/settings.md").read_text("utf-8")

    assert [scheme for scheme in SCHEMES if f"`{scheme}://" not in description] == []


async def test_a_store_that_hangs_takes_no_longer_than_an_order_has(tmp_path: Path) -> None:
    """A reader's short deadline does not make it count as failing; a write that it did not take does."""

    # It takes connections and answers nothing.
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        options = {"endpoint": f"http://127.0.0.1:{port}", "access_key_id": "a", "secret_access_key": "b"}
        store = ObjectStore("s3://bucket/prefix", options={**options, "region": "us-east-1"})
        started_s = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await store.get(f"{'ab' * 32}.png", deadline_s=started_s + 0.2)
        is_failing = [store.is_failing]
        with pytest.raises(StoreUnavailable):
            await store.put(f"{'ab' * 32}.png", b"image", deadline_s=started_s)
        is_failing.append(store.is_failing)
        took_s = time.monotonic() - started_s

    assert is_failing == [False, True]
    # Alone, each would take 10 s or more.
    assert took_s < 8


async def test_operations_are_measured_by_their_kind_well_or_not(directory: Path) -> None:
    telemetry = FakeTelemetry()
    store = ObjectStore(directory.as_uri(), telemetry=telemetry)

    await store.put(NAME, IMAGE)
    await store.get(NAME)
    await store.size(NAME)
    assert [image.name async for image in store.list()] == [NAME]
    await store.delete([NAME])
    with pytest.raises(ImageMissing):
        await store.get(NAME)
    block(directory)
    await store.probe()

    asked = telemetry.of(StoreAsked)
    # The end of a listing is a page, too.
    assert [fact.operation for fact in asked] == [
        *("write", "read", "check", "check", "check", "delete", "read", "check"),
    ]
    assert all(fact.duration_s > 0 for fact in asked)
    assert store.trouble == "other"
    assert await store.presign(NAME, ttl_s=5) is None
    assert len(telemetry.of(StoreAsked)) == len(asked)
