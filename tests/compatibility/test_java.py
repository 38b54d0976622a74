"""The guide's Java calls, by a real JDK."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compatibility.client import SCRIPTS
from tests.compatibility.expectations import assert_dalle_answer, save_pictures
from tests.compatibility.pictures import draw_inputs
from tests.processes import Gateway

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(shutil.which("javac") is None, reason="there is no JDK"),
]


@pytest.fixture
def java(
    gateway: Gateway, tmp_path: Path, record_property: Callable[[str, object], None]
) -> Callable[[str], str]:
    """Make one of the guide's calls; returns the body of a good answer."""
    draw_inputs(tmp_path)

    def call(operation: str) -> str:
        command = ["java", str(SCRIPTS / "Guide.java"), gateway.url, operation]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=50)
        version, status, body = done.stdout.split("\n", 2)
        record_property("client", f"Java {version}, the JDK's own `HttpClient`")
        assert status == "200", body
        return body

    return call


@pytest.mark.parametrize("operation", ["generate", "edit", "vary"])
def test_the_guide_calls_from_java(java: Callable[[str], str], tmp_path: Path, operation: str) -> None:
    """Code of the DALL·E years: the three Java calls"""
    answer = json.loads(java(operation))

    observed = save_pictures(answer, tmp_path)
    assert_dalle_answer(observed, count=1, size=(1024, 1024), revised=operation == "generate")
