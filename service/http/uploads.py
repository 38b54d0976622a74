"""Receive images as multipart bodies, spooled to disk and bounded while they arrive.

Only names and sizes are checked here; `ports.imaging` reads the formats later. Memory holds at
most one chunk of an upload, and the digest of each file is computed on the way.
"""

import asyncio
import contextlib
import hashlib
import logging
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from service.domain.errors import BytesRefused, InvalidOrder
from service.domain.unknown import unknown_parameter
from service.gateway.admission.held_bytes import Room
from service.http.bodies import Body
from service.http.errors import RequestRejected, body_too_large
from service.ports.imaging import white_path

MAX_FILES = 18
"""16 images, a mask and a markup (API reference, 2026)."""
MAX_FILE_BYTES = 50 * 1024 * 1024
MAX_PARTS = 100
MAX_FIELD_BYTES = 256 * 1024
MAX_UPLOAD_S = 300.0

_PARSED_AT_ONCE_BYTES = 32 * 1024
"""Parsed in a millisecond; then other tasks have their turn."""

_IMAGE_FIELD = re.compile(r"image(\[\d{0,3}\])?")
_FILE_FIELDS = ("mask", "markup")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SpooledFile:
    """One uploaded file; *field* is `image`, `mask` or `markup`."""

    field: str
    path: Path
    digest: str
    size_bytes: int


@dataclass(slots=True)
class Form:
    """A parsed body: text *fields* and *files*, in their order, and the *room* that the files take."""

    room: Room | None = None
    fields: dict[str, str] = field(default_factory=dict)
    files: list[SpooledFile] = field(default_factory=list)

    def discard(self) -> None:
        for file in self.files:
            file.path.unlink(missing_ok=True)
            white_path(file.path).unlink(missing_ok=True)
        if self.room is not None:
            self.room.leave()


async def read_form(request: Request, directory: Path, room: Room, *, most_files: int = MAX_FILES) -> Form:
    """Parse a multipart body, spooling its files into *directory*; the form keeps *room*.

    Raises:
        InvalidOrder: the body is malformed, or has unknown files.
        RequestRejected: the body is too large or too slow.
        BytesRefused: there is no room for it.
    """
    _, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if not boundary:
        raise InvalidOrder("The multipart body has no boundary.", param=None, code="invalid_multipart")
    reader = _Reader(directory, room)
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        async for chunk in Body(request, room, most_files * MAX_FILE_BYTES, MAX_UPLOAD_S):
            for start in range(0, len(chunk), _PARSED_AT_ONCE_BYTES):
                piece = chunk[start : start + _PARSED_AT_ONCE_BYTES]
                parser.write(piece)
                reader.count_delimiters(piece.count(b"\r\n--" + boundary))
                await asyncio.sleep(0)
        parser.finalize()
        reader.check_complete()
    except FormParserError as error:
        reader.abort()
        raise InvalidOrder(
            "The multipart body is malformed.", param=None, code="invalid_multipart"
        ) from error
    except OSError as error:
        reader.abort()
        raise disk_full(error) from error
    except BaseException:
        reader.abort()
        raise
    return reader.form


def sweep(directory: Path, older_than_s: float) -> None:
    """Remove files of killed processes: those older than any order can be."""
    for path in directory.glob("*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > older_than_s:  # noqa: TID251 - compared with the file system's clock
                path.unlink()


class _Reader:
    """Implements the callbacks of the parser, one part at a time."""

    def __init__(self, directory: Path, room: Room) -> None:
        self.form = Form(room)
        self._is_complete = False
        self._directory = directory
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._parts = 0
        self._delimiters = 0
        self._is_unnamed = False
        self._text: bytearray | None = None
        self._file: BinaryIO | None = None
        self._path = Path()
        self._size_bytes = 0

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._header_name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header_value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._open_part,
            "on_part_data": self._take,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def check_complete(self) -> None:
        if not self._is_complete:
            raise InvalidOrder("The multipart body is incomplete.", param=None, code="invalid_multipart")

    def count_delimiters(self, more: int) -> None:
        """Check that the form has no more delimiters than parts: one within a file costs 5 microseconds."""
        self._delimiters += more
        if self._delimiters > MAX_PARTS and not self._is_complete:
            raise _too_many_parts()

    def abort(self) -> None:
        if self._file is not None:
            # A full disk does not take the rest of its buffer.
            with contextlib.suppress(OSError):
                self._file.close()
            self._path.unlink(missing_ok=True)
        self.form.discard()

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _too_many_parts()
        self._headers = {}

    def _end_header(self) -> None:
        self._headers[bytes(self._header_name).lower()] = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _open_part(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        self._size_bytes = 0
        self._is_unnamed = not (options.get(b"filename") or options.get(b"filename*"))
        # Streams and strings have no name in openai-java, Guzzle and requests.
        if b"filename" in options or b"filename*" in options or _is_file_field(name):
            self._name = _file_field(name)
            if len(self.form.files) >= MAX_FILES:
                raise InvalidOrder("At most 16 images, a mask and a markup may be sent.", param=name[:100])
            self._path = new_path(self._directory)
            self._file = self._path.open("wb")
            self._digest = hashlib.sha256()
        else:
            self._name = name
            self._text = bytearray()

    def _take(self, data: bytes, start: int, end: int) -> None:
        self._size_bytes += end - start
        if self._file is not None:
            if self._size_bytes > MAX_FILE_BYTES:
                raise RequestRejected(body_too_large(MAX_FILE_BYTES))
            part = data[start:end]
            # Writing to the page cache takes less time than handing it to a thread.
            self._file.write(part)
            self._digest.update(part)
        elif self._text is not None:
            if self._size_bytes > MAX_FIELD_BYTES:
                raise RequestRejected(body_too_large(MAX_FIELD_BYTES))
            self._text += data[start:end]

    def _end_part(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            if self._is_unnamed and self._size_bytes == 0:
                # An empty file input of a browser, or an empty text.
                self._path.unlink()
                return
            self.form.files.append(
                SpooledFile(self._name, self._path, self._digest.hexdigest(), self._size_bytes)
            )
        elif self._text is not None:
            try:
                # Browsers and the `fetch` of Node.js write line ends of a text as CRLF: else equal orders would not be equal.
                text = self._text.decode().replace("\r\n", "\n")
            except UnicodeDecodeError as error:
                raise InvalidOrder(
                    f"The field '{self._name[:100]}' is not UTF-8.", param=self._name[:100]
                ) from error
            self._text = None
            self.form.fields[self._name] = text

    def _end(self) -> None:
        self._is_complete = True


def disk_full(error: OSError) -> BytesRefused:
    """Return the refusal of an upload that the disk did not take: its room may go between the check and the write."""
    _log.warning("upload not written", extra={"error": type(error).__name__, "reason": error.strerror})
    return BytesRefused("disk", 0)


def _too_many_parts() -> InvalidOrder:
    return InvalidOrder(f"The form has more than {MAX_PARTS} parts.", param=None, code="invalid_multipart")


def _is_file_field(name: str) -> bool:
    return name in _FILE_FIELDS or _IMAGE_FIELD.fullmatch(name) is not None


def _file_field(name: str) -> str:
    """Return the field of a file; `image`, `image[]` and `image[3]` are all images."""
    if _is_file_field(name):
        return name if name in _FILE_FIELDS else "image"
    raise unknown_parameter(name, ("image", *_FILE_FIELDS))


def new_path(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory / uuid4().hex
