"""Read the bodies of edits and variations: a multipart form, or its equivalent in JSON.

Splits them into parameters and images. Refuses only bodies that cannot be split; the rules for their contents
are in `rules.gpt_image`, `rules.gpt_image_edits` and `rules.dalle`.
"""

import asyncio
import io
import re
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import pybase64
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from service.sandbox.wire.error_envelope import (
    Refusal,
    array_too_long,
    empty_array,
    missing_parameter,
    wrong_media_type,
    wrong_type,
)
from service.sandbox.wire.inputs import Input, Upload, inspect_upload
from service.sandbox.wire.json_bodies import read_object

MOST_IMAGES = 16
_LONGEST_IMAGE_URL = 20_971_520
_IMAGE_NAMES = ("image", "image[]")
_OTHER_ROLES = ("mask", "markup")
_INTEGERS = frozenset({"n", "output_compression", "partial_images"})
_FLAGS = {"true": True, "false": False}
_DATA_URL = re.compile(r"data:([^;,]*);base64,", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A body in parts: *fields* has typed numbers and flags, *stray_files* the names of files without a role."""

    fields: Mapping[str, object]
    inputs: tuple[Input, ...] = ()
    stray_files: tuple[str, ...] = ()
    is_json: bool = False

    def digests(self) -> dict[str, list[str]]:
        """Return the SHA-256 of the images by role, as `order_hash` takes them."""
        found: dict[str, list[str]] = {}
        for one in self.inputs:
            found.setdefault(one.role, []).append(one.sha256)
        return found


async def read_edit_form(request: Request) -> Form:
    """Return the body of an edit, in either format."""
    if _media_type(request) == "application/json":
        return await _read_json(request)
    return await read_form(request)


async def read_form(request: Request) -> Form:
    """Return the multipart body, after deleting its temporary files."""
    media_type = _media_type(request)
    if media_type != "multipart/form-data":
        raise wrong_media_type(media_type)
    try:
        async with aclosing(request.stream()) as body:
            form = await MultiPartParser(request.headers, body).parse()
    except MultiPartException as error:
        raise Refusal(400, f"Could not parse multipart form: {error.message}") from error
    try:
        return await _split(form)
    finally:
        await form.close()


async def _split(form: FormData) -> Form:
    fields: dict[str, object] = {}
    uploads: list[Upload] = []
    strays: list[str] = []
    images = sum(name in _IMAGE_NAMES for name in form.keys())  # noqa: SIM118 - only keys() has repeats
    for name, value in form.multi_items():
        if isinstance(value, str):
            if name in _IMAGE_NAMES or name in _OTHER_ROLES:
                raise wrong_type(name, "a file", value)
            fields[name] = _to_value(name, value)
        elif name in _IMAGE_NAMES:
            is_only = name == "image" and images == 1
            label = "image" if is_only else f"image[{len(_of_role(uploads, 'image'))}]"
            uploads.append(_to_upload("image", name, label, value))
        elif name in _OTHER_ROLES:
            uploads.append(_to_upload(name, name, name, value))
        else:
            strays.append(name)
    return Form(fields=fields, inputs=await _inspect(uploads), stray_files=tuple(strays))


def _to_value(name: str, text: str) -> object:
    """Return the typed value of a form's text; text that is no number or flag stays text, for the rules to refuse."""
    if name in _INTEGERS and re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    return _FLAGS.get(text, text) if name == "stream" else text


def _of_role(uploads: Sequence[Upload], role: str) -> list[Upload]:
    return [upload for upload in uploads if upload.role == role]


def _to_upload(role: str, field: str, label: str, part: UploadFile) -> Upload:
    return Upload(role=role, field=field, label=label, content_type=part.content_type, file=part.file)


async def _inspect(uploads: Sequence[Upload]) -> tuple[Input, ...]:
    return tuple([await asyncio.to_thread(inspect_upload, upload) for upload in uploads])


async def _read_json(request: Request) -> Form:
    fields = {name: value for name, value in (await read_object(request)).items() if value is not None}
    references = fields.pop("images", None)
    if references is None:
        raise missing_parameter("images")
    if not isinstance(references, list):
        raise wrong_type("images", "an array of objects", references)
    if not references:
        raise empty_array("images")
    if len(references) > MOST_IMAGES:
        raise array_too_long("images", MOST_IMAGES, len(references))
    uploads = [_fetch("image", f"images[{index}]", one) for index, one in enumerate(references)]
    if "mask" in fields:
        uploads.append(_fetch("mask", "mask", fields.pop("mask")))
    return Form(fields=fields, inputs=await _inspect(uploads), is_json=True)


def _fetch(role: str, name: str, reference: object) -> Upload:
    """Return the image of a data URL; the sandbox stores no files and downloads none."""
    if not isinstance(reference, dict):
        raise wrong_type(name, "an object", reference)
    if set(reference) not in ({"image_url"}, {"file_id"}):
        message = f"Invalid '{name}': exactly one of 'image_url' and 'file_id' is needed, and nothing else."
        raise Refusal(400, message, param=name, code="invalid_value")
    ((member, value),) = reference.items()
    label = f"{name}.{member}"
    if not isinstance(value, str):
        raise wrong_type(label, "a string", value)
    if member == "file_id":
        raise Refusal(400, f"No such File object: {value}", param=label, code="image_file_not_found")
    if len(value) > _LONGEST_IMAGE_URL:
        message = (
            f"Invalid '{label}': string too long. Expected a string with maximum length {_LONGEST_IMAGE_URL}."
        )
        raise Refusal(400, message, param=label, code="string_above_max_length")
    return _decode(role, name, label, value)


def _decode(role: str, name: str, label: str, url: str) -> Upload:
    head = _DATA_URL.match(url)
    if head is None:
        message = f"Invalid '{label}': the sandbox takes data URLs with base64 only."
        raise Refusal(400, message, param=label, code="invalid_image_url")
    try:
        file = pybase64.b64decode(url[head.end() :], validate=True)
    except ValueError as error:
        message = f"Invalid '{label}': the data is not base64."
        raise Refusal(400, message, param=label, code="invalid_base64_image") from error
    return Upload(role=role, field=name, label=label, content_type=head[1] or None, file=io.BytesIO(file))


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
