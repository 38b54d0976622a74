"""Talk to the gateway byte by byte, for requests that no client library sends.

Owns a blocking connection that reads one answer at a time, and the check every refusal has to pass.
"""

import re
import select
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import orjson

PATIENCE_S = 20.0
ROUTE = "/v1/images/generations"


class ConnectionEnded(Exception):
    """The server closed the connection without a (complete) answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; *took_s* counts from the first byte sent on its connection, or from the answer before."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    took_s: float

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def header(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    def json(self) -> Any:
        return orjson.loads(self.body)


class Connection:
    """One TCP connection to the server at *url*."""

    def __init__(self, url: str, *, source: str = "") -> None:
        """Connect, from the address *source* if it is given."""
        parts = urlsplit(url)
        self._socket = socket.create_connection(
            (parts.hostname, parts.port or 80), timeout=PATIENCE_S, source_address=(source, 0)
        )
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self._since_s = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def send_until_answered(self, pieces: Iterable[bytes]) -> int:
        """Send until the server says something or hangs up; returns how many bytes it took."""
        sent_bytes = 0
        for piece in pieces:
            if select.select([self._socket], [], [], 0)[0]:
                break
            try:
                self._socket.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                break
            sent_bytes += len(piece)
        return sent_bytes

    def read_answer(self, *, has_body: bool = True) -> Answer:
        """Read one answer that tells its length; *has_body* False for an answer to HEAD."""
        head = self._read_until(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = []
        for line in lines:
            name, _, value = line.partition(": ")
            headers.append((name.lower(), value))
        status = int(status_line.split(" ")[1])
        length = next((int(value) for name, value in headers if name == "content-length"), 0)
        body = self._read(length) if has_body and status != 304 else b""
        now_s = time.monotonic()
        answer = Answer(status, headers, body, now_s - self._since_s)
        self._since_s = now_s
        return answer

    def is_closed(self) -> bool:
        """Whether the server hangs up, and says nothing before it does."""
        try:
            return not self._buffer and self._socket.recv(65_536) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def wait_quietly(self, seconds: float) -> bytes:
        """Return what comes unasked within *seconds*."""
        ready = select.select([self._socket], [], [], seconds)[0]
        return self._buffer + (self._socket.recv(65_536) if ready else b"")

    def _read_until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._receive()
        found, _, self._buffer = self._buffer.partition(mark)
        return found

    def _read(self, size_bytes: int) -> bytes:
        while len(self._buffer) < size_bytes:
            self._receive()
        found, self._buffer = self._buffer[:size_bytes], self._buffer[size_bytes:]
        return found

    def _receive(self) -> None:
        try:
            data = self._socket.recv(262_144)
        except (ConnectionResetError, TimeoutError) as error:
            raise ConnectionEnded(f"{error!r} after {self._buffer!r}") from error
        if not data:
            raise ConnectionEnded(f"closed after {self._buffer!r}")
        self._buffer += data


def post(body: bytes, *fields: str, target: str = ROUTE) -> bytes:
    """Return a well-formed POST of *body* as JSON, with more header *fields*."""
    lines = (
        f"POST {target} HTTP/1.1",
        "Host: gateway",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *fields,
    )
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def get(target: str, *fields: str, method: str = "GET") -> bytes:
    lines = (f"{method} {target} HTTP/1.1", "Host: gateway", *fields)
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def ask(url: str, request: bytes, *, has_body: bool = True) -> Answer:
    """Send *request* on a connection of its own and return the answer."""
    with Connection(url) as connection:
        connection.send(request)
        return connection.read_answer(has_body=has_body)


def check_refused(
    answer: Answer,
    status: int,
    *,
    code: str | None,
    param: str | None = None,
    kind: str = "invalid_request_error",
) -> str:
    """Check that *answer* is a complete envelope; returns its message."""
    assert answer.status == status, answer
    assert answer.header("content-type") == "application/json"
    error = answer.json()["error"]
    assert set(error) >= {"message", "type", "param", "code"}
    assert (error["type"], error["code"], error["param"]) == (kind, code, param)
    message: str = error["message"]
    assert message
    return message


def check_has_id(answer: Answer) -> None:
    """Check that the application, and not only the parser, answered."""
    assert re.fullmatch(r"req_[0-9a-f]{32}", answer.header("x-request-id") or "")
    assert answer.header("x-content-type-options") == "nosniff"


def check_goes_on(connection: Connection) -> None:
    """Check that the connection is at the start of a request and answers it."""
    connection.send(get("/livez"))
    assert connection.read_answer().json() == {"status": "ok"}
