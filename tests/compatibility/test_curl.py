"""curl, as scripts and documentation use it: no SDK between the caller and the wire."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from tests.compatibility.expectations import assert_events, assert_gpt_image_answer, save_pictures
from tests.compatibility.pictures import draw_inputs
from tests.processes import Gateway

FLARE = "gpt-image-2.6-flare"
Call = Callable[..., str]

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl"),
]


@pytest.fixture
def curl(gateway: Gateway, tmp_path: Path, record_property: Callable[[str, object], None]) -> Call:
    """Run curl beside pictures to upload; returns what it prints."""
    version = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout
    record_property("client", f"curl {version.split()[1]}")
    draw_inputs(tmp_path)

    def call(path: str, *options: str) -> str:
        command = ["curl", "-sS", "--noproxy", "*", f"{gateway.url}{path}", *options]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30)
        return done.stdout

    return call


def test_json_is_answered(curl: Call, tmp_path: Path) -> None:
    """Generate: gpt-image, as JSON"""
    body = json.dumps({"model": FLARE, "prompt": f"a pier {uuid4().hex}", "size": "1024x1024"})

    answer = curl("/v1/images/generations", "--json", body, "-H", "Authorization: Bearer sk-curl")

    assert_gpt_image_answer(save_pictures(json.loads(answer), tmp_path))


def test_forms_are_answered(curl: Call, tmp_path: Path) -> None:
    """Edit: gpt-image, `image[]` twice, in a form"""
    form = ("-F", f"model={FLARE}", "-F", "image[]=@square.png", "-F", "image[]=@photo.jpg")

    answer = curl("/v1/images/edits", *form, "-F", f"prompt=both {uuid4().hex}")

    assert_gpt_image_answer(save_pictures(json.loads(answer), tmp_path))


def test_events_are_written_as_the_contract_has_them(curl: Call) -> None:
    """Stream: the bytes on the wire, nothing but `event:` and `data:` lines"""
    body = {"model": FLARE, "prompt": f"a pier {uuid4().hex}", "stream": True, "partial_images": 1}

    text = curl("/v1/images/generations", "--no-buffer", "--json", json.dumps(body))

    # Comments keep a connection alive; `id:` and `retry:` lines crash the Python SDKs.
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    matches = [re.fullmatch(r"event: (\S+)\ndata: (\{.*\})", block) for block in blocks]
    assert all(matches)
    events = [(match[1], json.loads(match[2])) for match in matches if match]
    assert all(name == event["type"] for name, event in events)
    assert_events([event for _, event in events], "image_generation", partial=1, completed=1)


def test_a_wrong_body_is_answered_in_the_envelope(curl: Call) -> None:
    """Errors: body that is no JSON"""
    error = json.loads(curl("/v1/images/generations", "--json", "{broken"))["error"]

    assert set(error) == {"message", "type", "param", "code"}
