"""The image store on a real S3 server, which hangs, goes, comes back and says no."""

import asyncio
import hashlib
import signal
import uuid

import httpx
import obstore
import pytest
from obstore.store import S3Store

from service.adapters.storage.opening import StoreTimeouts
from service.adapters.storage.store import ObjectStore
from service.domain.errors import GatewayError, ImageMissing, StoreUnavailable
from service.ports.telemetry import StoreFailed, StoreTrouble
from tests.adapters.storage.stored import become_writable, collect, name_of
from tests.fakes.telemetry import FakeTelemetry
from tests.s3_server import BUCKET, READER, REGION, S3Server

pytestmark = pytest.mark.slow

IMAGE = bytes(range(256)) * 10_000
SHORT = StoreTimeouts(connect_s=0.5, request_s=0.5, operation_s=60.0, probe_s=0.5)
NAME = name_of(IMAGE)
PATH = f"images/{NAME[:2]}/{NAME}"


def options_of(s3: S3Server, *, key: str = READER[0], secret: str = READER[1]) -> dict[str, str]:
    return {
        "endpoint": s3.endpoint,
        "region": REGION,
        "access_key_id": key,
        "secret_access_key": secret,
    }


@pytest.fixture
def prefix() -> str:
    """A part of the bucket that no other test uses."""
    return uuid.uuid4().hex


@pytest.fixture
def store(s3: S3Server, prefix: str) -> ObjectStore:
    return ObjectStore(f"s3://{BUCKET}/{prefix}", options=options_of(s3))


@pytest.fixture
def bucket(s3: S3Server, prefix: str) -> S3Store:
    """The same objects, past the store."""
    return s3.open_bucket(prefix)


async def test_a_stored_image_is_found_by_its_name(store: ObjectStore) -> None:
    await store.put(NAME, IMAGE)

    assert await store.get(NAME) == IMAGE
    assert await store.size(NAME) == len(IMAGE)
    assert await collect(store.read(NAME, 0, len(IMAGE))) == IMAGE


@pytest.mark.parametrize(("start", "end"), [(0, 1), (5, 5), (1_048_575, 1_048_577), (2_000_000, 2_560_000)])
async def test_any_part_can_be_read(store: ObjectStore, start: int, end: int) -> None:
    await store.put(NAME, IMAGE)

    assert await collect(store.read(NAME, start, end)) == IMAGE[start:end]


async def test_an_image_of_fifty_megabytes_is_stored_and_read(store: ObjectStore) -> None:
    data = bytes(range(250)) * 200_000
    name = name_of(data)

    await store.put(name, data)

    assert await store.get(name) == data
    await store.verify(name)


async def test_an_absent_image_is_missing(store: ObjectStore) -> None:
    with pytest.raises(ImageMissing):
        await store.get(NAME)
    with pytest.raises(ImageMissing):
        await store.size(NAME)
    with pytest.raises(ImageMissing):
        await collect(store.read(NAME, 0, 10))


async def test_a_complete_image_is_not_uploaded_again(store: ObjectStore, bucket: S3Store) -> None:
    await obstore.put_async(bucket, PATH, IMAGE, attributes={"Cache-Control": "of the first"})

    await store.put(NAME, IMAGE)

    kept = await obstore.get_async(bucket, PATH)
    assert kept.attributes["Cache-Control"] == "of the first"


async def test_a_part_of_a_listing_is_one_prefix(store: ObjectStore) -> None:
    images = [b"%d" % number for number in range(20)]
    for data in images:
        await store.put(name_of(data), data)

    parts = [[image.name async for image in store.list(part)] for part in range(256)]

    assert all(int(name[:2], 16) == part for part, names in enumerate(parts) for name in names)
    assert sorted(name for names in parts for name in names) == sorted(map(name_of, images))
    assert await store.modified_s(name_of(images[0])) > 1_700_000_000


async def test_an_incomplete_image_is_uploaded_again(store: ObjectStore, bucket: S3Store) -> None:
    await obstore.put_async(bucket, PATH, IMAGE[:1000])

    await store.put(NAME, IMAGE)

    assert await store.get(NAME) == IMAGE


async def test_a_damaged_object_is_missing_and_free_to_be_made_again(
    store: ObjectStore, bucket: S3Store
) -> None:
    await obstore.put_async(bucket, PATH, b"\xff" + IMAGE[1:])

    with pytest.raises(ImageMissing):
        await store.get(NAME)
    with pytest.raises(FileNotFoundError):
        await obstore.head_async(bucket, PATH)

    await store.put(NAME, IMAGE)
    assert await store.get(NAME) == IMAGE


@pytest.mark.parametrize(("start", "end"), [(0, len(IMAGE)), (0, 100), (2_000_000, 2_560_000)])
async def test_no_reader_gets_all_or_a_part_of_a_damaged_object(
    store: ObjectStore, bucket: S3Store, start: int, end: int
) -> None:
    await obstore.put_async(bucket, PATH, IMAGE[:-1] + b"\x00")
    received: list[bytes] = []

    with pytest.raises(ImageMissing):
        await collect(store.read(NAME, start, end), received)

    assert sum(map(len, received)) < end - start
    with pytest.raises(ImageMissing):
        await store.size(NAME)


async def test_a_listing_has_several_pages_and_images_are_deleted_in_one_request(
    store: ObjectStore, bucket: S3Store
) -> None:
    images = {name_of(str(number).encode()): str(number).encode() for number in range(1005)}
    queue = iter(images.items())

    async def upload() -> None:
        for name, data in queue:
            await obstore.put_async(bucket, f"images/{name[:2]}/{name}", data)

    async with asyncio.TaskGroup() as group:
        for _ in range(16):
            group.create_task(upload())
    await obstore.put_async(bucket, "images/00/stranger.txt", b"not ours")

    listed = {image.name: image async for image in store.list()}
    assert {name: image.size_bytes for name, image in listed.items()} == {
        name: len(data) for name, data in images.items()
    }
    made_at_s = (await obstore.head_async(bucket, "images/00/stranger.txt"))["last_modified"].timestamp()
    assert all(abs(image.modified_s - made_at_s) < 120 for image in listed.values())

    await store.delete([*listed, name_of(b"never put")])
    assert [image async for image in store.list()] == []


async def test_a_presigned_link_gives_the_image_to_a_browser(store: ObjectStore, s3: S3Server) -> None:
    await store.put(NAME, IMAGE)

    url = await store.presign(NAME, ttl_s=60)

    assert url is not None
    assert url.startswith(s3.endpoint)
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(url)
        forged = await client.get(url.replace("X-Amz-Expires=60", "X-Amz-Expires=600"))
    assert answer.content == IMAGE
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"] == f'inline; filename="{NAME[:16]}.png"'
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert forged.status_code == 403
    assert "X-Amz-Expires=60&" in url
    assert READER[1] not in url


async def test_a_drawing_is_downloaded_and_not_shown(store: ObjectStore) -> None:
    data = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    name = hashlib.sha256(data).hexdigest() + ".svg"
    await store.put(name, data)

    url = await store.presign(name, ttl_s=60)

    assert url is not None
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(url)
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["content-disposition"].startswith("attachment;")


async def test_a_server_that_hangs_is_not_waited_for_and_is_used_again(s3: S3Server, prefix: str) -> None:
    store = ObjectStore(f"s3://{BUCKET}/{prefix}", options=options_of(s3), timeouts=SHORT)
    await store.put(NAME, IMAGE)
    s3.signal(signal.SIGSTOP)
    try:
        # Far longer than each may take, far shorter than a hang.
        async with asyncio.timeout(20):
            with pytest.raises(StoreUnavailable):
                await store.put(name_of(b"new"), b"new")
            with pytest.raises(StoreUnavailable):
                await store.get(NAME)
            with pytest.raises(StoreUnavailable):
                await anext(store.list())
            assert not await store.is_writable()
    finally:
        s3.signal(signal.SIGCONT)

    await become_writable(store, within_s=20)
    await store.put(name_of(b"new"), b"new")
    assert await store.get(NAME) == IMAGE


async def test_a_server_that_restarts_has_all_images(s3: S3Server, store: ObjectStore) -> None:
    await store.put(NAME, IMAGE)
    s3.stop()
    try:
        with pytest.raises(StoreUnavailable):
            await store.get(NAME)
        with pytest.raises(StoreUnavailable):
            await store.put(name_of(b"new"), b"new")
        assert not await store.is_writable()
    finally:
        s3.start()

    await become_writable(store, within_s=20)
    assert await store.get(NAME) == IMAGE


@pytest.mark.parametrize(
    ("bucket_name", "secret", "reason", "is_read"),
    [
        (BUCKET, "not-the-secret", "denied", True),
        (BUCKET, "not-the-secret", "denied", False),
        ("no-such-bucket", READER[1], "missing", True),
    ],
)
async def test_every_failure_is_counted_by_its_reason_until_the_store_works(
    s3: S3Server, bucket_name: str, secret: str, reason: StoreTrouble, *, is_read: bool
) -> None:
    telemetry = FakeTelemetry()
    options = options_of(s3, secret=secret)
    store = ObjectStore(f"s3://{bucket_name}", options=options, telemetry=telemetry)

    with pytest.raises(StoreUnavailable):
        await (store.get(NAME) if is_read else store.put(NAME, IMAGE))

    assert (store.is_failing, telemetry.of(StoreFailed)) == (True, [StoreFailed(reason=reason)])


async def test_a_store_has_recovered_once_a_probe_succeeds(s3: S3Server, store: ObjectStore) -> None:
    await store.put(NAME, IMAGE)
    s3.stop()
    try:
        with pytest.raises(StoreUnavailable):
            await store.get(NAME)
        await store.probe()
        assert store.is_failing
    finally:
        s3.start()

    await become_writable(store, within_s=20)

    assert not store.is_failing


@pytest.mark.parametrize(
    ("bucket_name", "key", "secret"),
    [(BUCKET, READER[0], "not-the-secret"), (BUCKET, "nobody", READER[1]), ("no-such-bucket", *READER)],
    ids=["wrong-secret", "unknown-key", "missing-bucket"],
)
async def test_a_store_that_denies_access_is_unavailable_and_not_empty(
    s3: S3Server, bucket_name: str, key: str, secret: str
) -> None:
    """Missing would drop the entry and pay again; the error gives no reason."""
    store = ObjectStore(f"s3://{bucket_name}", options=options_of(s3, key=key, secret=secret))
    texts = []
    for operation in (store.get(NAME), store.put(NAME, IMAGE)):
        with pytest.raises(StoreUnavailable) as caught:
            await operation
        texts.append(f"{caught.value} {caught.value!r}")

    assert not await store.is_writable()
    assert not any(told in text for text in texts for told in (s3.endpoint, bucket_name, key, secret, NAME))


async def test_any_other_failure_is_translated_too(s3: S3Server) -> None:
    store = ObjectStore(f"s3://{BUCKET}", options=options_of(s3, key="nobody"))
    for operation in (store.size(NAME), store.delete([NAME]), store.verify(NAME), anext(store.list())):
        with pytest.raises(GatewayError):
            await operation


async def test_an_overloaded_server_is_asked_a_few_times_only() -> None:
    asked = 0

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while await reader.readline() not in (b"\r\n", b""):
            pass
        asked += 1
        writer.write(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        options = {"endpoint": f"http://127.0.0.1:{port}", "access_key_id": "a", "secret_access_key": "b"}

        with pytest.raises(StoreUnavailable):
            await ObjectStore(f"s3://{BUCKET}", options=options).get(NAME)

    assert 1 < asked <= 3


async def test_environment_variables_are_enough(
    s3: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", READER[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", READER[1])

    store = ObjectStore(f"s3://{BUCKET}/{prefix}")

    await store.put(NAME, IMAGE)
    assert await store.get(NAME) == IMAGE


async def test_an_option_that_does_not_exist_is_refused_at_once(s3: S3Server) -> None:
    with pytest.raises(ValueError, match="describe no store") as caught:
        ObjectStore(f"s3://{BUCKET}", options={**options_of(s3), "endpoints": "one too many"})

    assert READER[1] not in str(caught.value)


async def test_azure_signs_links_too() -> None:
    """Without a server: signing is arithmetic with the account's key."""
    store = ObjectStore("az://images/gateway", options={"account_name": "acc", "account_key": "a2V5"})

    url = await store.presign(NAME, ttl_s=60)

    assert url is not None
    assert url.startswith(f"https://acc.blob.core.windows.net/images/gateway/{PATH}?")


async def test_google_cloud_is_a_store_too() -> None:
    ObjectStore("gs://images/gateway", options={"service_account_key": GOOGLE_KEY})


GOOGLE_KEY = (
    '{"private_key": "none", "private_key_id": "1", "client_email": "a@example.org", "disable_oauth": true}'
)
