"""What every client must have seen, whichever it is: the contract's required fields and no others.

Written from the provider's published types and observed answers, not from the gateway's own schemas.
"""

import base64
import re
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from PIL import Image

from tests.compatibility.pictures import open_picture

Observation = dict[str, Any]
_GPT_IMAGE_FIELDS = {"created", "data", "background", "output_format", "quality", "size", "usage"}
_EVENT_FIELDS = {"type", "b64_json", "created_at", "size", "quality", "background", "output_format"}
_BACKGROUNDS, _QUALITIES = {"transparent", "opaque"}, {"low", "medium", "high", "xhigh", "max"}
_REQUEST_ID = re.compile(r"req_[0-9a-f]{32}")


def assert_dalle_answer(
    observed: Observation, *, count: int, size: tuple[int, int], by: str = "url", revised: bool = False
) -> list[Image.Image]:
    """Check an answer as the retired models gave it: `created`, `data` and nothing of GPT image models."""
    answer = _good_answer(observed, count)
    assert set(answer) == {"created", "data"}
    for entry in answer["data"]:
        assert set(entry) == ({by, "revised_prompt"} if revised else {by})
        assert all(isinstance(value, str) and value for value in entry.values())
    assert {picture["came_as"] for picture in observed["pictures"]} == {by}
    return _different_pictures(observed, size, "PNG")


def assert_gpt_image_answer(
    observed: Observation, *, count: int = 1, picture_format: str = "PNG"
) -> list[Image.Image]:
    """Check an answer of a GPT image model: base64, with resolved parameters and usage."""
    answer = _good_answer(observed, count)
    assert set(answer) == _GPT_IMAGE_FIELDS
    assert all(set(entry) == {"b64_json"} for entry in answer["data"])
    assert answer["background"] in _BACKGROUNDS
    assert answer["quality"] in _QUALITIES
    assert answer["output_format"] == picture_format.lower()
    assert_usage(answer["usage"])
    width, _, height = answer["size"].partition("x")
    return _different_pictures(observed, (int(width), int(height)), picture_format)


def assert_pictures(observed: Observation, *, count: int) -> list[Image.Image]:
    """Check what a framework hands on: *count* different PNG images."""
    assert "error" not in observed, observed
    pictures = [open_picture(picture["path"]) for picture in observed["pictures"]]
    assert [picture.format for picture in pictures] == ["PNG"] * count
    assert len({picture.tobytes() for picture in pictures}) == count
    return pictures


def assert_usage(usage: Observation) -> None:
    """Check the counts that are required, and that they add up."""
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0
    details = usage["input_tokens_details"]
    assert details["text_tokens"] + details["image_tokens"] == usage["input_tokens"]


def assert_events(events: list[Observation], prefix: str, *, partial: int, completed: int) -> None:
    """Check a whole stream: at most *partial* stages, each before the end, then *completed* pictures."""
    names = [event["type"] for event in events]
    stages = names.index(f"{prefix}.completed")
    assert set(names[:stages]) <= {f"{prefix}.partial_image"}
    assert stages <= partial
    assert names[stages:] == [f"{prefix}.completed"] * completed
    for number, event in enumerate(events):
        more = {"partial_image_index"} if number < stages else {"usage"}
        assert set(event) >= _EVENT_FIELDS | more
        assert isinstance(event["created_at"], int)
    assert [event["partial_image_index"] for event in events[:stages]] == list(range(stages))
    for event in events[stages:]:
        usage = event["usage"]
        assert {"total_tokens", "input_tokens", "output_tokens", "input_tokens_details"} == set(usage)


def assert_error(observed: Observation, **expected: object) -> Observation:
    """Check an error the client understood; returns what else it knows of it."""
    error: Observation = observed["error"]
    assert {name: error[name] for name in expected} == expected
    assert error["message"]
    assert _REQUEST_ID.fullmatch(error["headers"]["x-request-id"])
    return error


def _good_answer(observed: Observation, count: int) -> Observation:
    assert "answer" in observed, observed
    answer: Observation = observed["answer"]
    assert isinstance(answer["created"], int)
    assert abs(answer["created"] - time.time()) < 600  # noqa: TID251 - the client's clock is the wall's
    assert len(answer["data"]) == count
    return answer


def _different_pictures(observed: Observation, size: tuple[int, int], kind: str) -> list[Image.Image]:
    pictures = [open_picture(picture["path"]) for picture in observed["pictures"]]
    assert {(picture.size, picture.format) for picture in pictures} == {(size, kind)}
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)
    return pictures


def save_pictures(answer: Observation, directory: Path) -> Observation:
    """Return an answer as clients observe it, for clients that cannot themselves: pictures saved, links fetched."""
    pictures = []
    for entry in answer["data"]:
        path = directory / uuid4().hex
        came_as = "url" if "url" in entry else "b64_json"
        if came_as == "url":
            path.write_bytes(httpx.get(entry["url"], trust_env=False).raise_for_status().content)
        else:
            path.write_bytes(base64.b64decode(entry["b64_json"], validate=True))
        pictures.append({"came_as": came_as, "path": str(path)})
    return {"answer": answer, "pictures": pictures}
