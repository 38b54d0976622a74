"""Images are fetched from allowed URLs, and from no others."""

import asyncio
import contextlib
import gzip
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from service.adapters.downloads import DownloadRefused, ImageDownloads, is_inside, is_public
from service.ports.provider import DownloadFailed
from tests.authority import Authority

IMAGE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 400
FAR = "https://api.openai.com/v1"
CAP_BYTES = 1_000_000
ANY = "0.0.0.0"  # noqa: S104 - as a target it is this machine
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class Server:
    """A server on loopback that records its requests and connections."""

    answer: Answer | bytes
    port: int = 0
    connections: int = 0
    heads: list[str] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    talks: set[asyncio.Task[None] | None] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request and answer it."""
        self.connections += 1
        self.talks.add(asyncio.current_task())
        try:
            self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode("ascii"))
            if isinstance(self.answer, bytes):
                writer.write(self.answer)
            else:
                await self.answer(writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # it left
        finally:
            writer.close()

    async def hang_up(self) -> None:
        """End the answers that would go on for ever."""
        talks = [task for task in self.talks if task is not None]
        for task in talks:
            task.cancel()
        if talks:
            await asyncio.wait(talks)


@contextlib.asynccontextmanager
async def serve(answer: Answer | bytes, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Run a server until the block ends."""
    server = Server(answer)
    if tls is not None:
        tls.sni_callback = lambda _, name, __: server.names.append(name)
    async with await asyncio.start_server(server.talk, "127.0.0.1", 0, ssl=tls) as listener:
        server.port = listener.sockets[0].getsockname()[1]
        try:
            yield server
        finally:
            await server.hang_up()


def good(body: bytes = IMAGE, *fields: str, status: int = 200) -> bytes:
    lines = [f"HTTP/1.1 {status} So", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.fixture
async def canary() -> AsyncIterator[Server]:
    """An internal server that the gateway must never reach."""
    async with serve(good(b"secrets of the machine")) as server:
        yield server


class Names(AbstractResolver):
    """A name server: gives one answer after the other, and the last for ever."""

    def __init__(self, *answers: list[str], port: int) -> None:
        self._answers = list(answers)
        self._port = port
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                # A server here cannot have port 443, so the name server leads to where it is.
                port=self._port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        pass


async def fetch(
    url: str,
    *,
    backend: str = FAR,
    trusted: tuple[str, ...] = (),
    resolver: AbstractResolver | None = None,
    tls: ssl.SSLContext | None = None,
    within_s: float = 20.0,
) -> bytes:
    # Loading the certificates of the system takes longer than a test.
    tls = tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    downloads = ImageDownloads(backend, trusted=trusted, max_bytes=CAP_BYTES, resolver=resolver, tls=tls)
    try:
        return await downloads.fetch(url, deadline_s=time.monotonic() + within_s)
    finally:
        await downloads.aclose()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "images.test")


async def test_an_image_comes_from_the_backends_own_origin() -> None:
    async with serve(good()) as sandbox:
        data = await fetch(f"{sandbox.url}/files/1.png?sig=abc", backend=f"{sandbox.url}/v1")

    assert data == IMAGE
    head = sandbox.heads[0].lower()
    assert head.startswith("get /files/1.png?sig=abc http/1.1\r\n")
    assert f"\r\nhost: 127.0.0.1:{sandbox.port}\r\n" in head
    assert "\r\naccept-encoding: identity\r\n" in head
    assert not any(f"\r\n{name}:" in head for name in ("authorization", "cookie", "referer"))


async def test_a_backend_on_this_machine_may_call_itself_by_another_name() -> None:
    async with serve(good()) as sandbox:
        assert await fetch(f"http://localhost:{sandbox.port}/1", backend=sandbox.url) == IMAGE


async def test_a_trusted_host_is_asked_by_its_name_at_the_address_that_was_looked_up(
    authority: Authority,
) -> None:
    async with serve(good(), tls=authority.server_context()) as server:
        names = Names(["127.0.0.1"], port=server.port)

        data = await fetch(
            "https://images.test/1.png",
            backend="http://127.0.0.1:1/v1",
            trusted=("test",),
            resolver=names,
            tls=authority.client_context(),
        )

    assert data == IMAGE
    assert names.asked == ["images.test"]
    assert server.names == ["images.test"]
    assert "\r\nhost: images.test\r\n" in server.heads[0].lower()


async def test_a_certificate_of_another_name_is_not_accepted(authority: Authority) -> None:
    async with serve(good(), tls=authority.server_context()) as server:
        with pytest.raises(DownloadFailed, match="connection failed"):
            await fetch(
                "https://other.test/1.png",
                backend="http://127.0.0.1:1/v1",
                trusted=("test",),
                resolver=Names(["127.0.0.1"], port=server.port),
                tls=authority.client_context(),
            )

    assert server.heads == []


@pytest.mark.parametrize(
    "url",
    [
        "http://images.test/1.png",
        "https://images.test:8443/1.png",
        "https://images.test:80/1.png",
        "ftp://images.test/1.png",
        "file:///etc/passwd",
        "file://localhost/etc/passwd",
        "data:image/png;base64,AAAA",
        "gopher://images.test/1",
        "unix:///var/run/docker.sock",
        "//images.test/1.png",
        "images.test/1.png",
        "/1.png",
        "",
        "https://",
        "https:///1.png",
        "https://user@images.test/1.png",
        "https://user:password@images.test/1.png",
        "https://trusted.test@images.test/1.png",
        "https://trusted.test:443@images.test/1.png",
        "https://trusted.test\\@images.test/1.png",
        "https://trusted.test:8443@evil.test/1.png",
        "https://nottrusted.test:8443/1.png",
        "https://trusted.test.evil.test:8443/1.png",
        "http://trusted.test:8443/1.png",
        "https://images.test:99999/1.png",
        "https://images.test\r\nX: y/1.png",
        "https://0177.0.0.1/",
        "https://127.0.0.256/",
        "https://①②⑦.0.0.1/",
        "http://127.0.0.1:6379/",
        "http://localhost:6379/",
        "http://api.openai.com/v1/files/1.png",
        "https://api.openai.com:444/v1/files/1.png",
    ],
)
async def test_nothing_is_looked_up_for_a_url_of_the_wrong_kind(url: str, canary: Server) -> None:
    names = Names(["127.0.0.1"], port=canary.port)

    with pytest.raises(DownloadRefused):
        await fetch(url, trusted=("trusted.test:8443",), resolver=names)

    assert names.asked == []
    assert canary.connections == 0


@pytest.mark.parametrize("port", [None, 6379])
async def test_a_backend_on_this_machine_opens_its_own_port_only(canary: Server, port: int | None) -> None:
    url = f"http://127.0.0.1:{port or canary.port}/"

    with pytest.raises(DownloadRefused):
        await fetch(url, backend="http://127.0.0.1:1/v1")

    assert canary.connections == 0


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0x7f.0.0.1",
        "0x7f.1",
        "127.0.0.1.",
        "127。0。0。1",
        "0",
        ANY,
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "localhost",
        "localhost.",
        "LOCALHOST",
    ],
)
async def test_no_spelling_of_this_machine_gets_there(host: str, canary: Server) -> None:
    """Neither as any host of the world, nor as one that is trusted not to be outside."""
    with pytest.raises(DownloadFailed):
        await fetch(f"https://{host}/")
    with pytest.raises(DownloadFailed):
        await fetch(f"https://{host}:{canary.port}/", trusted=(f"{host}:{canary.port}",))

    assert canary.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.0.0.1", "[::1]", "[::ffff:127.0.0.1]"])
async def test_an_address_in_a_url_is_refused_and_not_only_unreachable(host: str) -> None:
    with pytest.raises(DownloadRefused):
        await fetch(f"https://{host}/")


PRIVATE = [
    *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.255.255"),
    *("198.18.0.1", "fc00::1", "fdff::1"),
]
NOBODYS = [
    *("127.0.0.1", "127.255.255.255", ANY, "0.1.2.3", "169.254.169.254", "169.254.0.1"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "192.88.99.1"),
    *("168.63.129.16", "100.100.100.200", "fd00:ec2::254"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:10.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "2002:7f00:1::1", "2001::1", "100::1"),
    *("fe80::1", "fe80::1%1", "fec0::1", "ff02::1", "ff0e::1", "3fff::1", "5f00::1"),
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "2606:4700::1", "2a00:1450::1"]


@pytest.mark.parametrize("address", PUBLIC)
def test_the_world_has_these_addresses(address: str) -> None:
    assert is_public(ip_address(address))
    assert is_inside(ip_address(address))


@pytest.mark.parametrize("address", PRIVATE)
def test_a_trusted_host_may_have_these_addresses_and_no_other_host(address: str) -> None:
    assert not is_public(ip_address(address))
    assert is_inside(ip_address(address))


@pytest.mark.parametrize("address", NOBODYS)
def test_no_host_may_have_these_addresses(address: str) -> None:
    assert not is_public(ip_address(address))
    assert not is_inside(ip_address(address))


@pytest.mark.parametrize("address", [*PRIVATE, *NOBODYS])
async def test_a_name_that_leads_inside_is_refused(address: str, canary: Server) -> None:
    with pytest.raises(DownloadRefused):
        await fetch("https://images.test/", resolver=Names([address], port=canary.port))

    assert canary.connections == 0


async def test_a_name_that_leads_elsewhere_the_second_time_gets_nothing(authority: Authority) -> None:
    """The checked address is the one that is connected to; there is no second look-up."""
    async with serve(good(), tls=authority.server_context()) as server:
        # To the system both mean this machine; to us only the first is where a sandbox may be.
        names = Names(["127.0.0.1"], [ANY], port=server.port)
        downloads = ImageDownloads(
            "http://127.0.0.1:1/v1",
            trusted=("images.test",),
            resolver=names,
            tls=authority.client_context(),
        )
        try:
            url = "https://images.test/"
            assert await downloads.fetch(url, deadline_s=time.monotonic() + 20) == IMAGE
            with pytest.raises(DownloadRefused):
                await downloads.fetch(url, deadline_s=time.monotonic() + 20)
        finally:
            await downloads.aclose()

    assert names.asked == ["images.test"] * 2
    assert server.connections == 1


@pytest.mark.parametrize("addresses", [["127.0.0.2", ANY], [ANY, "127.0.0.2"], [ANY] * 2])
async def test_no_address_of_several_leads_elsewhere(addresses: list[str], canary: Server) -> None:
    """No server listens at 127.0.0.2, so the other address is next."""
    with pytest.raises(DownloadFailed):
        await fetch(
            "https://images.test/",
            backend="http://127.0.0.1:1/v1",
            trusted=("images.test",),
            resolver=Names(addresses, port=canary.port),
        )

    assert canary.connections == 0


@pytest.mark.parametrize("entry", ["", "https://cdn.corp", "cdn.corp/path", "user@cdn.corp", "cdn.corp:x"])
def test_an_invalid_trusted_host_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="written as"):
        ImageDownloads(FAR, trusted=(entry,))


async def test_a_name_that_cannot_be_one_is_a_failure_like_others() -> None:
    with pytest.raises(DownloadFailed):
        await fetch(f"https://{'a' * 70}.test/")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int, canary: Server) -> None:
    for target in ("http://169.254.169.254/latest/meta-data/", canary.url):
        async with serve(good(b"", f"Location: {target}", status=status)) as sandbox:
            with pytest.raises(DownloadFailed, match=f"answer was {status}"):
                await fetch(sandbox.url, backend=sandbox.url)

    assert canary.connections == 0


async def test_a_proxy_of_the_environment_is_not_used(
    canary: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, canary.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    async with serve(good()) as sandbox:
        assert await fetch(sandbox.url, backend=sandbox.url) == IMAGE

    assert canary.connections == 0


async def test_cookies_are_not_kept() -> None:
    async with serve(good(IMAGE, "Set-Cookie: who=1; Path=/")) as sandbox:
        # By its name: a jar would not take one from an address.
        url = f"http://localhost:{sandbox.port}/"
        downloads = ImageDownloads(url)
        try:
            for _ in range(2):
                await downloads.fetch(url, deadline_s=time.monotonic() + 20)
        finally:
            await downloads.aclose()

    assert len(sandbox.heads) == 2
    assert not any("cookie" in head.lower() for head in sandbox.heads)


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(bytes(65_536))
        await writer.drain()


async def endless_in_chunks(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + bytes(65_536) + b"\r\n")
        await writer.drain()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (endless, "too large"),
        (endless_in_chunks, "too large"),
        (good(bytes(CAP_BYTES + 1)), "too large"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n", "too large"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort", "connection failed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nshort", "connection failed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", "connection failed"),
        (good(b""), "empty"),
        (good(gzip.compress(bytes(1_000_000)), "Content-Encoding: gzip"), "compressed"),
        (good(b"\x00", "Content-Encoding: br, identity"), "compressed"),
        (good(status=404), "answer was 404"),
        (good(status=206), "answer was 206"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "answer was 204"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "connection failed"),
        (b"", "connection failed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_answer_without_an_image_is_a_failure(answer: Answer | bytes, reason: str) -> None:
    async with serve(answer) as sandbox:
        with pytest.raises(DownloadFailed, match=reason) as caught:
            await fetch(sandbox.url, backend=sandbox.url)

    assert not isinstance(caught.value, DownloadRefused)


async def test_nothing_is_read_behind_the_length_of_an_answer() -> None:
    async with serve(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nshortand much more") as sandbox:
        # What follows makes the answer a broken one if it is there in time.
        with contextlib.suppress(DownloadFailed):
            assert await fetch(sandbox.url, backend=sandbox.url) == b"short"


@pytest.mark.parametrize(
    "first", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"]
)
async def test_a_slow_answer_ends_with_the_deadline(first: bytes) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while not writer.is_closing():
            writer.write(b"x" if first.endswith(b"\r\n\r\n") else b"")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with serve(drip) as sandbox:
        with pytest.raises(DownloadFailed, match="in time"):
            await fetch(sandbox.url, backend=sandbox.url, within_s=0.3)


async def test_a_deadline_that_has_passed_sends_nothing(canary: Server) -> None:
    with pytest.raises(DownloadFailed, match="in time"):
        await fetch(canary.url, backend=canary.url, within_s=-1)

    assert canary.heads == []


async def test_many_images_are_fetched_concurrently() -> None:
    async with serve(good()) as sandbox:
        downloads = ImageDownloads(sandbox.url)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(downloads.fetch(sandbox.url, deadline_s=time.monotonic() + 20))
                    for _ in range(10)
                ]
        finally:
            await downloads.aclose()

    assert all(task.result() == IMAGE for task in tasks)


async def test_errors_name_no_host() -> None:
    for url in ("https://secret-host.test:1/x?sig=secret", "https://127.0.0.1/x?sig=secret"):
        with pytest.raises(DownloadFailed) as caught:
            await fetch(url)
        assert "secret" not in f"{caught.value} {caught.value!r}"
        assert "127" not in f"{caught.value} {caught.value!r}"
