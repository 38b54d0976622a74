"""Run proxies in front of a Redis: a name that leads elsewhere after a failover, and an end of TLS."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_TLS = b"\x16"
"""First byte of a TLS connection."""


@dataclass(slots=True)
class Front:
    """Where it listens, whose end of TLS it is, and how many have spoken TLS and nothing of the kind."""

    find_port: Callable[[], int]
    tls: ssl.SSLContext | None
    port: int = 0
    encrypted: int = 0
    plain: int = 0

    async def accept(self, listener: socket.socket, group: asyncio.TaskGroup) -> None:
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            group.create_task(self._serve(connection))

    async def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # who left at once, or trusts nobody
            reader, writer = await self._open(connection)
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.find_port())
            async with asyncio.TaskGroup() as both:
                both.create_task(_pour(reader, inner_writer))
                both.create_task(_pour(inner_reader, writer))

    async def _open(self, connection: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        is_encrypted = self.tls is not None and await _peek(connection) == _TLS
        self.encrypted += is_encrypted
        self.plain += not is_encrypted
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, connection, ssl=self.tls if is_encrypted else None
        )
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


@asynccontextmanager
async def run_front(
    find_port: Callable[[], int], *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Front]:
    """Lead each new connection to where *find_port* says; ends when all of them have ended.

    With *tls* it is understood, and who does not begin with it is let through as well.
    """
    front = Front(find_port, tls)
    async with asyncio.TaskGroup() as group:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            front.port = int(listener.getsockname()[1])
            accepting = group.create_task(front.accept(listener, group))
            yield front
            accepting.cancel()


async def _peek(connection: socket.socket) -> bytes:
    while True:
        try:
            return connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            await asyncio.sleep(0.001)


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()


def make_certificate(directory: Path) -> tuple[ssl.SSLContext, Path]:
    """Return the server's side of TLS at 127.0.0.1, and the file of whom to trust for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "redis")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted, secret = directory / "ca.pem", directory / "key.pem"
    trusted.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, secret)
    return context, trusted
